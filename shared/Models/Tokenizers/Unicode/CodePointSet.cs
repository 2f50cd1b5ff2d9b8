namespace Qbb.Models.Tokenizers;

/// <summary>An immutable set of Unicode code points, kept as sorted ranges that neither overlap nor touch.</summary>
internal sealed class CodePointSet
{
    public const int Last = 0x10FFFF;

    /// <summary>First and last code point of each range, one after the other.</summary>
    private readonly int[] bounds;

    private CodePointSet(int[] bounds) => this.bounds = bounds;

    public static CodePointSet Empty { get; } = new([]);

    public static CodePointSet All { get; } = new([0, Last]);

    public bool IsEmpty => bounds.Length == 0;

    public static CodePointSet Of(int codePoint) => new([codePoint, codePoint]);

    public static CodePointSet Range(int first, int last) => new([first, last]);

    public static CodePointSet Of(ReadOnlySpan<int> firstsAndLasts) => FromUnordered([.. firstsAndLasts]);

    /// <summary>The ranges as pairs of first and last code point.</summary>
    public IEnumerable<(int First, int Last)> Ranges()
    {
        for (var i = 0; i < bounds.Length; i += 2)
            yield return (bounds[i], bounds[i + 1]);
    }

    public bool Contains(int codePoint)
    {
        int low = 0, high = bounds.Length / 2;
        while (low < high)
        {
            var middle = (low + high) >>> 1;
            if (bounds[2 * middle + 1] < codePoint)
                low = middle + 1;
            else
                high = middle;
        }
        return 2 * low < bounds.Length && bounds[2 * low] <= codePoint;
    }

    public CodePointSet Union(CodePointSet other)
    {
        var result = new List<int>(bounds.Length + other.bounds.Length);
        for (int left = 0, right = 0; left < bounds.Length || right < other.bounds.Length;)
        {
            var takesLeft = right == other.bounds.Length || (left < bounds.Length && bounds[left] <= other.bounds[right]);
            if (takesLeft)
                Append(result, bounds[left], bounds[left + 1]);
            else
                Append(result, other.bounds[right], other.bounds[right + 1]);
            left += takesLeft ? 2 : 0;
            right += takesLeft ? 0 : 2;
        }
        return new CodePointSet([.. result]);
    }

    public CodePointSet Intersect(CodePointSet other) => Invert().Union(other.Invert()).Invert();

    public CodePointSet Invert()
    {
        var result = new List<int>(bounds.Length + 2);
        var next = 0;
        foreach (var (first, last) in Ranges())
        {
            if (first > next)
                result.AddRange([next, first - 1]);
            next = last + 1;
        }
        if (next <= Last)
            result.AddRange([next, Last]);
        return new CodePointSet([.. result]);
    }

    private static CodePointSet FromUnordered(int[] pairs)
    {
        var ranges = new (int First, int Last)[pairs.Length / 2];
        for (var i = 0; i < ranges.Length; i++)
            ranges[i] = (pairs[2 * i], pairs[2 * i + 1]);
        Array.Sort(ranges);
        var result = new List<int>(pairs.Length);
        foreach (var (first, last) in ranges)
            Append(result, first, last);
        return new CodePointSet([.. result]);
    }

    /// <summary>Adds a range that starts no earlier than those before it.</summary>
    private static void Append(List<int> result, int first, int last)
    {
        if (result.Count > 0 && first <= result[^1] + 1)
        {
            result[^1] = Math.Max(result[^1], last);
            return;
        }
        result.Add(first);
        result.Add(last);
    }
}
