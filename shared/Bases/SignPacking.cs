using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Qbb.Bases;

/// <summary>
/// The layout of one row of one plane: bit j of word k is the sign of input 32k + j, 1 for +1 and 0 for −1. A row takes
/// <see cref="WordsPerRow"/> words; bits after the last input are zero when written and ignored when read.
/// </summary>
public static class SignPacking
{
    /// <summary>Words of 32 signs that a row of <paramref name="inFeatures"/> signs takes.</summary>
    public static int WordsPerRow(int inFeatures) => (int)(((long)inFeatures + 31) / 32);

    /// <summary>True where the sign of input <paramref name="column"/> is +1.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsPositive(ReadOnlySpan<uint> words, int column) => (words[column >> 5] >> (column & 31) & 1) != 0;

    /// <summary>
    /// Packs bit <paramref name="basis"/> of every code [in] into <paramref name="words"/> [ceil(in/32)]: bit i of a code is the sign
    /// of basis i at that input.
    /// </summary>
    public static void PackBit(ReadOnlySpan<byte> codes, int basis, Span<uint> words)
    {
        CheckLengths(codes.Length, words.Length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)basis, 7u, nameof(basis));
        var whole = codes.Length / 32;
        for (var word = 0; word < whole; word++)
        {
            // Bytes have no shift of their own; in a shift of 16-bit lanes the wanted bit still ends as the top bit of its byte.
            var block = Vector256.Create(codes.Slice(word * 32, 32));
            words[word] = (block.AsUInt16() << (7 - basis)).AsByte().ExtractMostSignificantBits();
        }
        if (whole < words.Length)
        {
            var tail = 0u;
            for (var column = whole * 32; column < codes.Length; column++)
                tail |= (uint)(codes[column] >> basis & 1) << (column & 31);
            words[whole] = tail;
        }
    }

    /// <summary>The inverse of <see cref="PackBit"/>: sets bit <paramref name="basis"/> of every code, leaving the other bits.</summary>
    public static void UnpackBit(ReadOnlySpan<uint> words, int basis, Span<byte> codes)
    {
        CheckLengths(codes.Length, words.Length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)basis, 7u, nameof(basis));
        var clear = (byte)~(1 << basis);
        for (var column = 0; column < codes.Length; column++)
            codes[column] = (byte)(codes[column] & clear | (IsPositive(words, column) ? 1 : 0) << basis);
    }

    /// <summary>Number of positions among the first <paramref name="inFeatures"/> at which two rows of signs differ.</summary>
    public static int CountDifferences(ReadOnlySpan<uint> left, ReadOnlySpan<uint> right, int inFeatures)
    {
        CheckLengths(inFeatures, left.Length);
        CheckLengths(inFeatures, right.Length);
        var count = 0;
        for (var word = 0; word < left.Length; word++)
        {
            var remaining = inFeatures - 32 * word;
            var mask = remaining >= 32 ? uint.MaxValue : (1u << remaining) - 1;
            count += BitOperations.PopCount((left[word] ^ right[word]) & mask);
        }
        return count;
    }

    private static void CheckLengths(int inFeatures, int words)
    {
        if (words != WordsPerRow(inFeatures))
            throw new ArgumentException($"{inFeatures} signs take {WordsPerRow(inFeatures)} words, not {words}");
    }
}
