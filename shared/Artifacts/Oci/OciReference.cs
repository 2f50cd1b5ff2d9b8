using System.Text.RegularExpressions;
using Qbb.Contracts;

namespace Qbb.Artifacts.Oci;

/// <summary>An artifact in an OCI registry: oci://HOST/NAME:TAG, or @sha256:DIGEST in the tag's place.</summary>
/// <param name="Host">With its port, if any.</param>
/// <param name="Name">The repository, in lower case.</param>
/// <param name="Tag">A tag, or sha256:DIGEST.</param>
public sealed partial record OciReference(string Host, string Name, string Tag)
{
    public const string Scheme = "oci://";

    /// <summary>Whether a text means one, rightly written or not.</summary>
    public static bool IsMeant(string text) => text.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase);

    /// <summary>Null where the text is not one.</summary>
    public static OciReference? TryParse(string text) => Form().Match(text) is { Success: true } match
        ? new(match.Groups["host"].Value, match.Groups["name"].Value, match.Groups["tag"].Success ? match.Groups["tag"].Value : match.Groups["digest"].Value) : null;

    /// <exception cref="InvalidInputException">The text is not one.</exception>
    public static OciReference Parse(string text) => TryParse(text)
        ?? throw new InvalidInputException($"{text} does not name an artifact in an OCI registry", "write oci://HOST/NAME:TAG, with a name in lower case");

    public override string ToString() => $"{Scheme}{Host}/{Name}{(Tag.Contains(':') ? '@' : ':')}{Tag}";

    // As the distribution specification has them.
    [GeneratedRegex("""
        ^oci://(?<host>(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?)/(?<name>[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*)(?::(?<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127})|@(?<digest>sha256:[0-9a-f]{64}))$
        """, RegexOptions.CultureInvariant)]
    private static partial Regex Form();
}
