namespace Qbb.Checkpoints.Tests;

/// <summary>ggml's blocks, dequantised one element at a time, straight from their layout.</summary>
internal static class ReferenceBlocks
{
    public static float Q8_0(ReadOnlySpan<byte> block, int i) => (sbyte)block[2 + i] * Half(block);

    public static float Q4_0(ReadOnlySpan<byte> block, int i) => (Nibble32(block[2..], i) - 8) * Half(block);

    public static float Q4_1(ReadOnlySpan<byte> block, int i) => Nibble32(block[4..], i) * Half(block) + Half(block[2..]);

    public static float Q5_0(ReadOnlySpan<byte> block, int i) => (Nibble32(block[6..], i) + 16 * Bit(block[2..], i) - 16) * Half(block);

    public static float Q5_1(ReadOnlySpan<byte> block, int i) =>
        (Nibble32(block[8..], i) + 16 * Bit(block[4..], i)) * Half(block) + Half(block[2..]);

    public static float Q4_K(ReadOnlySpan<byte> block, int i) =>
        Half(block) * Scale(block[4..], i / 32) * Nibble64(block[16..], i) - Half(block[2..]) * Minimum(block[4..], i / 32);

    public static float Q5_K(ReadOnlySpan<byte> block, int i)
    {
        var fifth = (block[16 + i % 32] >> (i / 32)) & 1;
        return Half(block) * Scale(block[4..], i / 32) * (Nibble64(block[48..], i) + 16 * fifth)
            - Half(block[2..]) * Minimum(block[4..], i / 32);
    }

    public static float Q6_K(ReadOnlySpan<byte> block, int i)
    {
        var (half, inHalf) = (i / 128, i % 128);
        var nibbles = block[64 * half + inHalf % 64];
        var low = inHalf < 64 ? nibbles & 15 : nibbles >> 4;
        var upper = (block[128 + 32 * half + inHalf % 32] >> (2 * (inHalf / 32))) & 3;
        return Half(block[208..]) * (sbyte)block[192 + i / 16] * (low + 16 * upper - 32);
    }

    public static float Q1_0(ReadOnlySpan<byte> block, int i) => Bit(block[2..], i) == 1 ? Half(block) : -Half(block);

    public static float Q2_0(ReadOnlySpan<byte> block, int i) => (Bit(block[2..], 2 * i) + 2 * Bit(block[2..], 2 * i + 1) - 1) * Half(block);

    public static float MXFP4(ReadOnlySpan<byte> block, int i) => (float)(E2M1(Nibble32(block[1..], i)) * Math.Pow(2, block[0] - 127));

    public static float NVFP4(ReadOnlySpan<byte> block, int i)
    {
        var (scale, packed) = (block[i / 16], block[4 + i / 16 * 8 + i % 8]);
        var (exponent, mantissa) = (scale / 8 % 16, scale % 8);
        var d = scale == 0x7f ? 0 : exponent == 0 ? mantissa * Math.Pow(2, -9) : (8 + mantissa) * Math.Pow(2, exponent - 10);
        return (float)(E2M1(i % 16 < 8 ? packed % 16 : packed / 16) * d);
    }

    private static double E2M1(int bits) => new[] { 0, 0.5, 1, 1.5, 2, 3, 4, 6 }[bits % 8] * (bits < 8 ? 1 : -1);

    private static float Half(ReadOnlySpan<byte> at) => (float)BitConverter.ToHalf(at);

    private static int Bit(ReadOnlySpan<byte> bits, int i) => (bits[i / 8] >> (i % 8)) & 1;

    private static int Nibble32(ReadOnlySpan<byte> bytes, int i) => i < 16 ? bytes[i] & 15 : bytes[i - 16] >> 4;

    private static int Nibble64(ReadOnlySpan<byte> bytes, int i)
    {
        var packed = bytes[i / 64 * 32 + i % 32];
        return i % 64 < 32 ? packed & 15 : packed >> 4;
    }

    private static int Scale(ReadOnlySpan<byte> packed, int j) =>
        j < 4 ? packed[j] & 63 : (packed[j + 4] & 15) | ((packed[j - 4] & 0xc0) >> 2);

    private static int Minimum(ReadOnlySpan<byte> packed, int j) =>
        j < 4 ? packed[j + 4] & 63 : (packed[j + 4] >> 4) | ((packed[j] & 0xc0) >> 2);
}
