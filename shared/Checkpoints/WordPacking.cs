namespace Qbb.Checkpoints;

/// <summary>
/// Codes of 1 to 8 bits in words of 32, from the lowest bit on. Dense: one behind the other, across the borders of words. Padded: whole codes a
/// word, whose spare bits are 0. Both are the same where the bits divide 32.
/// </summary>
public static class WordPacking
{
    /// <summary>Words of so many codes.</summary>
    public static int Words(int count, int bits, bool padded) => padded ? (count - 1) / (32 / bits) + 1 : checked((int)(((long)count * bits + 31) / 32));

    /// <summary>Reads codes.</summary>
    /// <param name="words">All words.</param>
    /// <param name="first">Place of the first one.</param>
    /// <param name="stride">From one word of these codes to the next.</param>
    /// <param name="bits">Of a code.</param>
    /// <param name="padded">Whether words hold whole codes.</param>
    /// <param name="codes">As many as are wanted.</param>
    public static void Unpack(ReadOnlySpan<uint> words, int first, int stride, int bits, bool padded, Span<byte> codes)
    {
        var (mask, perWord) = ((1u << bits) - 1, 32 / bits);
        for (var k = 0; k < codes.Length; k++)
        {
            var (word, shift) = padded ? (k / perWord, k % perWord * bits) : ((int)((long)k * bits >> 5), k * bits & 31);
            var value = words[first + word * stride] >> shift;
            if (shift + bits > 32)
                value |= words[first + (word + 1) * stride] << (32 - shift);
            codes[k] = (byte)(value & mask);
        }
    }

    /// <summary>The inverse of <see cref="Unpack"/>; words that are 0 get the codes.</summary>
    public static void Pack(ReadOnlySpan<byte> codes, int bits, bool padded, Span<uint> words, int first, int stride)
    {
        var perWord = 32 / bits;
        for (var k = 0; k < codes.Length; k++)
        {
            var (word, shift) = padded ? (k / perWord, k % perWord * bits) : ((int)((long)k * bits >> 5), k * bits & 31);
            words[first + word * stride] |= (uint)codes[k] << shift;
            if (shift + bits > 32)
                words[first + (word + 1) * stride] |= (uint)codes[k] >> (32 - shift);
        }
    }
}
