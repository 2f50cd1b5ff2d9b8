using System.Text.RegularExpressions;

namespace Qbb.Registry.Models;

/// <summary>The names that models and aliases may have; they stand in addresses and on command lines.</summary>
public static partial class ModelName
{
    public const int MostCharacters = 64;

    /// <summary>What is wrong with a name, for a message; null for nothing.</summary>
    public static string? ProblemOf(string name) =>
        name.Length <= MostCharacters && Pattern().IsMatch(name)
            ? null
            : $"a name has 1 to {MostCharacters} letters, digits, dots, hyphens and underscores, and begins with a letter or digit";

    /// <summary>The same of an alias, which must not look like a version's number.</summary>
    public static string? ProblemOfAlias(string name) =>
        ProblemOf(name) ?? (int.TryParse(name, out _) ? "an alias is no number: those are versions" : null);

    [GeneratedRegex(@"\A[A-Za-z0-9][A-Za-z0-9._-]*\z", RegexOptions.CultureInvariant)]
    private static partial Regex Pattern();
}
