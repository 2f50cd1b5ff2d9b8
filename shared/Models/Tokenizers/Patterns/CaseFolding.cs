using System.Text;

namespace Qbb.Models.Tokenizers;

/// <summary>Simple case folding: which code points differ only in case ('s', 'S' and 'ſ' are one class).</summary>
internal static class CaseFolding
{
    private static readonly Lazy<Dictionary<int, int[]>> Classes = new(ReadClasses);

    /// <summary>The set together with every code point that differs from a member only in case.</summary>
    public static CodePointSet Close(CodePointSet set)
    {
        var classes = Classes.Value;
        var ranges = set.Ranges().ToList();
        // Letters of a pattern are few, classes like [^x] are not: walk over what is smaller.
        var members = ranges.Sum(range => range.Last - range.First + 1) < classes.Count
            ? ranges.SelectMany(range => Enumerable.Range(range.First, range.Last - range.First + 1)).Where(classes.ContainsKey)
            : classes.Keys.Where(set.Contains);
        var others = members.SelectMany(member => classes[member]);
        return set.Union(CodePointSet.Of([.. others.SelectMany(codePoint => new[] { codePoint, codePoint })]));
    }

    /// <summary>The class of every code point that has others in its class.</summary>
    private static Dictionary<int, int[]> ReadClasses() =>
        Enumerable.Range(0, CodePointSet.Last + 1)
            .Where(Rune.IsValid)
            .Select(codePoint => (CodePoint: codePoint, Folded: Fold(codePoint)))
            .Where(pair => pair.Folded != pair.CodePoint)
            .GroupBy(pair => pair.Folded, pair => pair.CodePoint)
            .Select(group => group.Append(group.Key).ToArray())
            .SelectMany(members => members.Select(member => (member, members)))
            .ToDictionary(pair => pair.member, pair => pair.members);

    /// <summary>The runtime keeps ſ apart, so that no upper case of another alphabet becomes ASCII.</summary>
    private static int Fold(int codePoint) => codePoint == 'ſ' ? 's' : Rune.ToLowerInvariant(Rune.ToUpperInvariant(new Rune(codePoint))).Value;
}
