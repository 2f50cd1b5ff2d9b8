namespace Qbb.Checkpoints;

/// <summary>
/// Integers of 4, 6 or 8 bits in bytes. 8 bits: two's complement, one a byte. Fewer: value + 2^(bits − 1), one behind the other from the lowest
/// bit of the first byte on; a row begins at a byte, and the bits after its last value are 0.
/// </summary>
public static class IntegerPacking
{
    public static bool Supports(int bits) => bits is 4 or 6 or 8;

    /// <summary>Bytes of a row.</summary>
    public static int RowBytes(int columns, int bits) => checked((int)(((long)columns * bits + 7) / 8));

    /// <param name="values">One row.</param>
    /// <param name="bits">4, 6 or 8.</param>
    /// <param name="packed"><see cref="RowBytes"/> bytes.</param>
    public static void Pack(ReadOnlySpan<sbyte> values, int bits, Span<byte> packed)
    {
        var (offset, held, count, place) = (bits == 8 ? 0 : 1 << (bits - 1), 0u, 0, 0);
        foreach (var value in values)
        {
            held |= (uint)(value + offset & (1 << bits) - 1) << count;
            for (count += bits; count >= 8; count -= 8, held >>= 8)
                packed[place++] = (byte)held;
        }
        if (count > 0)
            packed[place] = (byte)held;
    }

    /// <summary>The inverse of <see cref="Pack"/>, from any column of a row on.</summary>
    /// <param name="packed">The whole row.</param>
    /// <param name="bits">4, 6 or 8.</param>
    /// <param name="first">The first column.</param>
    /// <param name="values">As many as are wanted.</param>
    public static void Unpack(ReadOnlySpan<byte> packed, int bits, int first, Span<sbyte> values)
    {
        if (bits == 8)
        {
            packed.Slice(first, values.Length).CopyTo(System.Runtime.InteropServices.MemoryMarshal.AsBytes(values));
            return;
        }
        var (offset, mask) = (1 << (bits - 1), (1 << bits) - 1);
        for (var k = 0; k < values.Length; k++)
        {
            var bit = (first + k) * bits;
            var pair = packed[bit >> 3] | ((bit & 7) + bits > 8 ? packed[(bit >> 3) + 1] << 8 : 0);
            values[k] = (sbyte)((pair >> (bit & 7) & mask) - offset);
        }
    }
}
