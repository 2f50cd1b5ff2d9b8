using System.Runtime.CompilerServices;

namespace Qbb.Models.Tokenizers;

/// <summary>A <see cref="CodePointSet"/> made fast to ask: one bit per code point of the basic plane, ranges beyond.</summary>
internal sealed class CodePointTester
{
    private readonly ulong[] basicPlane = new ulong[1024];
    private readonly CodePointSet set;

    public CodePointTester(CodePointSet set)
    {
        this.set = set;
        foreach (var (first, last) in set.Ranges())
            Fill(first, Math.Min(last, 0xFFFF));
    }

    private void Fill(int first, int last)
    {
        for (var word = first >> 6; word <= last >> 6; word++)
        {
            var from = word == first >> 6 ? ulong.MaxValue << first : ulong.MaxValue;
            var to = word == last >> 6 ? ulong.MaxValue >> (63 - (last & 63)) : ulong.MaxValue;
            basicPlane[word] |= from & to;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool ContainsBasic(char unit) => (basicPlane[unit >> 6] >> unit & 1) != 0;

    public bool Contains(int codePoint) => codePoint <= 0xFFFF ? ContainsBasic((char)codePoint) : set.Contains(codePoint);

    /// <summary>UTF-16 units of the code point at <paramref name="position"/> if it is in the set, else 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int MatchLength(ReadOnlySpan<char> text, int position)
    {
        if ((uint)position >= (uint)text.Length)
            return 0;
        var unit = text[position];
        if (!char.IsSurrogate(unit))
            return ContainsBasic(unit) ? 1 : 0;
        return MatchPair(text, position);
    }

    private int MatchPair(ReadOnlySpan<char> text, int position)
    {
        var high = text[position];
        if (position + 1 < text.Length && char.IsSurrogatePair(high, text[position + 1]))
            return set.Contains(char.ConvertToUtf32(high, text[position + 1])) ? 2 : 0;
        return ContainsBasic(high) ? 1 : 0;
    }
}
