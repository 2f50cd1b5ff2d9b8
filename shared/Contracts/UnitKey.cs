using System.Globalization;
using System.Text.Json;

namespace Qbb.Contracts;

/// <summary>
/// The identity of a unit of work: the digest of what kind of work it is and of everything that its result depends on. Who requested it is
/// no part of it, so two pipelines that need the same work share one result.
/// </summary>
public static class UnitKey
{
    /// <summary>A header of events: the result was found, not made.</summary>
    public const string FoundHeader = "Qbb-Found";

    /// <summary>A header of events: what calculated the result.</summary>
    public const string EnvironmentHeader = "Qbb-Environment";

    /// <summary>A header of events: how long the worker calculated; absent where the result was found.</summary>
    public const string SecondsHeader = "Qbb-Seconds";

    // Counts up whenever a worker begins to make something else of the same inputs.
    private const string Scheme = "qbb unit 3";

    /// <param name="kind">The command's name.</param>
    /// <param name="inputs">Digests, numbers and words in a fixed order; null for an input that is absent.</param>
    public static Digest Of(string kind, params IEnumerable<object?> inputs)
    {
        // JSON keeps apart what a plain concatenation would run together.
        string?[] parts = [Scheme, kind, .. inputs.Select(input => Convert.ToString(input, CultureInfo.InvariantCulture))];
        return Digest.Of(JsonSerializer.Serialize(parts));
    }

    /// <summary>Several digests as one input.</summary>
    public static Digest Of(IReadOnlyList<Digest> inputs) => Digest.Of(JsonSerializer.Serialize(inputs));
}
