using System.Text.Json.Serialization;
using System.Text.RegularExpressions;

namespace Qbb.Api;

/// <summary>A page of a list.</summary>
/// <param name="Items">Its entries.</param>
/// <param name="Next">The value of "after" for the next page; null on the last one.</param>
public sealed record Page<T>(IReadOnlyList<T> Items, string? Next);

/// <summary>The names that models and aliases may have; they stand in addresses and on command lines.</summary>
public static partial class ModelName
{
    public const int MostCharacters = 64;

    /// <summary>What is wrong with a name, for a message; null for nothing.</summary>
    public static string? ProblemOf(string name) =>
        name.Length <= MostCharacters && Pattern().IsMatch(name)
            ? null
            : $"a name has 1 to {MostCharacters} letters, digits, dots, hyphens and underscores, and begins with a letter or digit";

    /// <summary>Refers to the newest version, whatever aliases there are.</summary>
    public const string Latest = "latest";

    /// <summary>The same of an alias, which must not look like a version: 7, v1 and latest are reserved.</summary>
    public static string? ProblemOfAlias(string name) => ProblemOf(name)
        ?? (VersionLike().IsMatch(name) ? "an alias must not look like a version: numbers, v1 and the like are reserved"
        : name.Equals(Latest, StringComparison.OrdinalIgnoreCase) ? $"the alias {Latest} is reserved: it always refers to the newest version"
        : null);

    [GeneratedRegex(@"\A[vV]?[0-9]+\z", RegexOptions.CultureInvariant)]
    private static partial Regex VersionLike();

    [GeneratedRegex(@"\A[A-Za-z0-9][A-Za-z0-9._-]*\z", RegexOptions.CultureInvariant)]
    private static partial Regex Pattern();
}

/// <summary>A model.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Description">What people wrote about it.</param>
/// <param name="Versions">How many there are.</param>
/// <param name="Latest">The number of the newest; null if all were deleted.</param>
/// <param name="Aliases">Numbers of versions by alias.</param>
/// <param name="CreatedAt">When it was created.</param>
/// <example>{"name":"tiny","description":"A small teacher.","versions":2,"latest":2,"aliases":{"champion":2},"createdAt":"2026-11-29T12:00:00+00:00"}</example>
public sealed record ModelView(
    string Name, string Description, int Versions, int? Latest, IReadOnlyDictionary<string, int> Aliases, DateTimeOffset CreatedAt);

/// <summary>What to change of a model.</summary>
/// <param name="Description">The new description, of at most 10,000 characters.</param>
/// <example>{"description":"A small teacher."}</example>
public sealed record ModelChange(string? Description = null);

/// <summary>Where an alias points.</summary>
/// <param name="Alias">Its name.</param>
/// <param name="Version">The version's number.</param>
/// <param name="UpdatedAt">When it was last moved.</param>
/// <param name="Held">A person set it, and the gate leaves it there until it is removed.</param>
/// <example>{"alias":"champion","version":2,"updatedAt":"2026-11-29T12:30:00+00:00","held":false}</example>
public sealed record AliasView(string Alias, int Version, DateTimeOffset UpdatedAt, bool Held = false);

/// <summary>The version that an alias is to point to.</summary>
/// <param name="Version">The version's number.</param>
/// <example>{"version":2}</example>
public sealed record AliasChange(int Version);

/// <summary>
/// What a version must keep to become the champion; of those that do, the one of the lowest KL is. Null: no limit, except that without a budget
/// of bits a champion is never replaced by a larger version.
/// </summary>
/// <example>{"maxPerplexityRatio":1.1,"maxKl":0.2,"maxBitsPerWeight":4}</example>
[JsonUnmappedMemberHandling(JsonUnmappedMemberHandling.Disallow)]
public sealed record Gate
{
    /// <summary>Most of perplexity / teacher's perplexity.</summary>
    public double? MaxPerplexityRatio { get; init; }

    /// <summary>Most nats per position.</summary>
    public double? MaxKl { get; init; }

    /// <summary>The budget: most bits per weight.</summary>
    public double? MaxBitsPerWeight { get; init; }

    /// <summary>What is wrong with the limits.</summary>
    public IEnumerable<string> Problems()
    {
        if (MaxPerplexityRatio is { } ratio && !(ratio >= 1 && double.IsFinite(ratio)))
            yield return $"maxPerplexityRatio is {ratio}, it must be 1 or more";
        if (MaxKl is { } kl && !(kl > 0 && double.IsFinite(kl)))
            yield return $"maxKl is {kl}, it must be positive";
        if (MaxBitsPerWeight is { } bits && !(bits > 0 && double.IsFinite(bits)))
            yield return $"maxBitsPerWeight is {bits}, it must be positive";
    }
}

/// <summary>A gate and its result.</summary>
/// <param name="Gate">The limits.</param>
/// <param name="Own">The model has its own; else they are its policy's or the registry's.</param>
/// <param name="Champion">The champion, or the version that would be; null if none passes.</param>
/// <param name="Refused">Why the others do not pass, by number.</param>
/// <example>{"gate":{"maxPerplexityRatio":1.1,"maxKl":0.2,"maxBitsPerWeight":4},"own":true,"champion":2,"refused":{"3":"kl is 0.31, more than 0.2"}}</example>
public sealed record GateView(Gate Gate, bool Own, int? Champion, IReadOnlyDictionary<int, string> Refused);

/// <summary>When garbage is collected.</summary>
/// <param name="LastAt">When a collection ended last, or the registry was started first; null where it has just been.</param>
/// <param name="Running">One is under way.</param>
/// <example>{"lastAt":"2026-11-29T03:00:00+00:00","running":false}</example>
public sealed record CollectionView(DateTimeOffset? LastAt, bool Running);

/// <summary>What a collection removed, or would remove.</summary>
/// <param name="DryRun">Nothing was removed.</param>
/// <param name="Versions">Deleted versions whose files were let go.</param>
/// <param name="Results">Results of units that were forgotten.</param>
/// <param name="Leases">Uploads that were given up.</param>
/// <param name="Blobs">Blobs that nothing refers to.</param>
/// <param name="Bytes">Their bytes.</param>
/// <param name="Kept">Blobs that stay.</param>
/// <param name="KeptBytes">Their bytes.</param>
/// <example>{"dryRun":true,"versions":1,"results":12,"leases":0,"blobs":7,"bytes":104857600,"kept":41,"keptBytes":2147483648}</example>
public sealed record CollectionReport(
    bool DryRun, int Versions, int Results, int Leases, int Blobs, long Bytes, int Kept, long KeptBytes);
