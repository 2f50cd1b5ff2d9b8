namespace Qbb.Registry.Models;

/// <summary>What tags may say.</summary>
internal static class TagRules
{
    private const int MostKey = 64;
    private const int MostValue = 256;

    public static IEnumerable<string> Problems(IReadOnlyDictionary<string, string>? tags)
    {
        foreach (var (key, value) in tags ?? new Dictionary<string, string>())
        {
            if (ModelName.ProblemOf(key) is not null)
                yield return $"a tag's key has 1 to {MostKey} letters, digits, dots, hyphens and underscores";
            if (value is null || value.Length > MostValue || value.Any(char.IsControl))
                yield return $"a tag's value has at most {MostValue} characters and no control characters";
        }
    }
}
