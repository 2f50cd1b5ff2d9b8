using System.Text;

namespace Qbb.Models.Tokenizers;

/// <summary>Simple case folding: which code points differ only in case ('s', 'S' and 'ſ' are one class).</summary>
internal static class CaseFolding
{
    private static readonly Lazy<List<int[]>> Classes = new(ReadClasses);

    /// <summary>The set together with every code point that differs from a member only in case.</summary>
    public static CodePointSet Close(CodePointSet set)
    {
        var extra = new List<int>();
        foreach (var members in Classes.Value)
            if (members.Any(set.Contains))
                foreach (var member in members)
                    extra.AddRange([member, member]);
        return set.Union(CodePointSet.Of(extra.ToArray()));
    }

    private static List<int[]> ReadClasses() =>
    [
        .. Enumerable.Range(0, CodePointSet.Last + 1)
            .Where(Rune.IsValid)
            .Select(codePoint => (CodePoint: codePoint, Folded: Fold(codePoint)))
            .Where(pair => pair.Folded != pair.CodePoint)
            .GroupBy(pair => pair.Folded, pair => pair.CodePoint)
            .Select(group => group.Append(group.Key).ToArray()),
    ];

    /// <summary>The runtime keeps ſ apart, so that no upper case of another alphabet becomes ASCII.</summary>
    private static int Fold(int codePoint) => codePoint == 'ſ' ? 's' : Rune.ToLowerInvariant(Rune.ToUpperInvariant(new Rune(codePoint))).Value;
}
