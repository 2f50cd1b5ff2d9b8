using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Qbb.Checkpoints;

/// <summary>
/// Dequantises ggml's blocks, bit for bit as ggml does: every value is scale · quant, or scale · quant + offset with the product
/// rounded (or exact) before the sum. Layouts are those of ggml-common.h: scales are fp16, low nibbles hold the first half.
/// </summary>
internal static unsafe class GgmlBlocks
{
    private static readonly Vector128<byte> LowNibble = Vector128.Create((byte)0x0f);
    private static readonly Vector128<byte> FifthBit = Vector128.Create((byte)0x10);
    private static readonly Vector128<byte> BitOfByte = Vector128.Create(1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, (byte)128);
    private static readonly Vector128<byte> EightTimesEach = Vector128.Create(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, (byte)1);

    /// <summary>32 elements: d, 32 int8.</summary>
    public static void Q8_0(ReadOnlySpan<byte> source, Span<float> destination)
    {
        fixed (byte* blocks = source)
        fixed (float* numbers = destination)
        {
            var block = blocks;
            for (var to = numbers; to < numbers + destination.Length; to += 32, block += 34)
            {
                var d = Half(block);
                Scale(Vector128.Load((sbyte*)block + 2), d, to);
                Scale(Vector128.Load((sbyte*)block + 18), d, to + 16);
            }
        }
    }

    /// <summary>32 elements: d, 16 bytes of nibbles less 8.</summary>
    public static void Q4_0(ReadOnlySpan<byte> source, Span<float> destination)
    {
        fixed (byte* blocks = source)
        fixed (float* numbers = destination)
        {
            var block = blocks;
            var centre = Vector128.Create((sbyte)8);
            for (var to = numbers; to < numbers + destination.Length; to += 32, block += 18)
            {
                var d = Half(block);
                var packed = Vector128.Load(block + 2);
                Scale((packed & LowNibble).AsSByte() - centre, d, to);
                Scale((packed >>> 4).AsSByte() - centre, d, to + 16);
            }
        }
    }

    /// <summary>32 elements: d, m, 16 bytes of nibbles.</summary>
    public static void Q4_1(ReadOnlySpan<byte> source, Span<float> destination)
    {
        fixed (byte* blocks = source)
        fixed (float* numbers = destination)
        {
            var block = blocks;
            for (var to = numbers; to < numbers + destination.Length; to += 32, block += 20)
            {
                var (d, m) = (Half(block), Half(block + 2));
                var packed = Vector128.Load(block + 4);
                Scale((packed & LowNibble).AsSByte(), d, m, to);
                Scale((packed >>> 4).AsSByte(), d, m, to + 16);
            }
        }
    }

    /// <summary>32 elements: d, 32 fifth bits, 16 bytes of nibbles; less 16.</summary>
    public static void Q5_0(ReadOnlySpan<byte> source, Span<float> destination)
    {
        fixed (byte* blocks = source)
        fixed (float* numbers = destination)
        {
            var block = blocks;
            var centre = Vector128.Create((sbyte)16);
            for (var to = numbers; to < numbers + destination.Length; to += 32, block += 22)
            {
                var d = Half(block);
                var packed = Vector128.Load(block + 6);
                Scale(((packed & LowNibble) | FifthBits(block + 2)).AsSByte() - centre, d, to);
                Scale(((packed >>> 4) | FifthBits(block + 4)).AsSByte() - centre, d, to + 16);
            }
        }
    }

    /// <summary>32 elements: d, m, 32 fifth bits, 16 bytes of nibbles.</summary>
    public static void Q5_1(ReadOnlySpan<byte> source, Span<float> destination)
    {
        fixed (byte* blocks = source)
        fixed (float* numbers = destination)
        {
            var block = blocks;
            for (var to = numbers; to < numbers + destination.Length; to += 32, block += 24)
            {
                var (d, m) = (Half(block), Half(block + 2));
                var packed = Vector128.Load(block + 8);
                Scale(((packed & LowNibble) | FifthBits(block + 4)).AsSByte(), d, m, to);
                Scale(((packed >>> 4) | FifthBits(block + 6)).AsSByte(), d, m, to + 16);
            }
        }
    }

    /// <summary>256 elements in 8 sub-blocks: d, dmin, 8 scales and 8 minima of 6 bits, 128 bytes of nibbles.</summary>
    public static void Q4_K(ReadOnlySpan<byte> source, Span<float> destination)
    {
        fixed (byte* blocks = source)
        fixed (float* numbers = destination)
        {
            var block = blocks;
            for (var to = numbers; to < numbers + destination.Length; to += 256, block += 144)
            {
                var (d, dmin) = (Half(block), Half(block + 2));
                for (var pair = 0; pair < 4; pair++)
                {
                    var (low, lowMin) = ScaleAndMin(block + 4, 2 * pair);
                    var (high, highMin) = ScaleAndMin(block + 4, 2 * pair + 1);
                    for (var half = 0; half < 32; half += 16)
                    {
                        var packed = Vector128.Load(block + 16 + 32 * pair + half);
                        var place = to + 64 * pair + half;
                        Scale((packed & LowNibble).AsSByte(), d * low, -(dmin * lowMin), place);
                        Scale((packed >>> 4).AsSByte(), d * high, -(dmin * highMin), place + 32);
                    }
                }
            }
        }
    }

    /// <summary>256 elements in 8 sub-blocks: as Q4_K, with 32 bytes of fifth bits before the nibbles: bit b of byte l belongs to element
    /// 32b + l.</summary>
    public static void Q5_K(ReadOnlySpan<byte> source, Span<float> destination)
    {
        fixed (byte* blocks = source)
        fixed (float* numbers = destination)
        {
            var block = blocks;
            for (var to = numbers; to < numbers + destination.Length; to += 256, block += 176)
            {
                var (d, dmin) = (Half(block), Half(block + 2));
                for (var pair = 0; pair < 4; pair++)
                {
                    var (low, lowMin) = ScaleAndMin(block + 4, 2 * pair);
                    var (high, highMin) = ScaleAndMin(block + 4, 2 * pair + 1);
                    for (var half = 0; half < 32; half += 16)
                    {
                        var bits = Vector128.Load(block + 16 + half) >>> (2 * pair);
                        var packed = Vector128.Load(block + 48 + 32 * pair + half);
                        var place = to + 64 * pair + half;
                        Scale(((packed & LowNibble) | ((bits << 4) & FifthBit)).AsSByte(), d * low, -(dmin * lowMin), place);
                        Scale(((packed >>> 4) | ((bits << 3) & FifthBit)).AsSByte(), d * high, -(dmin * highMin), place + 32);
                    }
                }
            }
        }
    }

    /// <summary>256 elements in 16 sub-blocks: 128 bytes of low nibbles, 64 bytes of upper pairs of bits, 16 int8 scales, d; less
    /// 32.</summary>
    public static void Q6_K(ReadOnlySpan<byte> source, Span<float> destination)
    {
        fixed (byte* blocks = source)
        fixed (float* numbers = destination)
        {
            var block = blocks;
            var upper = Vector128.Create((byte)0x30);
            var centre = Vector128.Create((sbyte)32);
            for (var to = numbers; to < numbers + destination.Length; to += 256, block += 210)
            {
                var scales = (sbyte*)block + 192;
                var d = Half(block + 208);
                // Each half of 128 elements has 64 bytes of nibbles, 32 of upper bits and 8 scales.
                for (var part = 0; part < 4; part++)
                {
                    var (half, l) = (part / 2, part % 2 * 16);
                    var first = Vector128.Load(block + 64 * half + l);
                    var second = Vector128.Load(block + 64 * half + 32 + l);
                    var bits = Vector128.Load(block + 128 + 32 * half + l);
                    var scale = scales + 8 * half + l / 16;
                    var place = to + 128 * half + l;
                    Scale(((first & LowNibble) | ((bits << 4) & upper)).AsSByte() - centre, d * scale[0], place);
                    Scale(((second & LowNibble) | ((bits << 2) & upper)).AsSByte() - centre, d * scale[2], place + 32);
                    Scale(((first >>> 4) | (bits & upper)).AsSByte() - centre, d * scale[4], place + 64);
                    Scale(((second >>> 4) | ((bits >>> 2) & upper)).AsSByte() - centre, d * scale[6], place + 96);
                }
            }
        }
    }

    /// <summary>128 elements: d, 128 bits; a set bit is d, a clear one -d.</summary>
    public static void Q1_0(ReadOnlySpan<byte> source, Span<float> destination)
    {
        for (var i = 0; i < destination.Length; i++)
        {
            var block = source.Slice(i / 128 * 18, 18);
            var d = FloatConversion.HalfToSingle(BinaryPrimitives.ReadUInt16LittleEndian(block));
            destination[i] = (block[2 + i % 128 / 8] >> (i % 8) & 1) != 0 ? d : -d;
        }
    }

    /// <summary>64 elements: d, 64 pairs of bits less 1.</summary>
    public static void Q2_0(ReadOnlySpan<byte> source, Span<float> destination)
    {
        for (var i = 0; i < destination.Length; i++)
        {
            var block = source.Slice(i / 64 * 18, 18);
            destination[i] = ((block[2 + i % 64 / 4] >> (2 * (i % 4)) & 3) - 1) * FloatConversion.HalfToSingle(BinaryPrimitives.ReadUInt16LittleEndian(block));
        }
    }

    /// <summary>32 elements: an exponent, 16 bytes of 4-bit floats; low nibbles hold the first half.</summary>
    public static void MXFP4(ReadOnlySpan<byte> source, Span<float> destination)
    {
        for (var i = 0; i < destination.Length; i++)
        {
            var block = source.Slice(i / 32 * 17, 17);
            destination[i] = Float4(block[1 + i % 16], i % 32 / 16) * MathF.ScaleB(1, block[0] - 128);
        }
    }

    /// <summary>64 elements in 4 sub-blocks: 4 scales in unsigned E4M3, then per sub-block 8 bytes of 4-bit floats as in MXFP4.</summary>
    public static void NVFP4(ReadOnlySpan<byte> source, Span<float> destination)
    {
        for (var i = 0; i < destination.Length; i++)
        {
            var block = source.Slice(i / 64 * 36, 36);
            var (part, place) = (i % 64 / 16, i % 16);
            destination[i] = Float4(block[4 + 8 * part + place % 8], place / 8) * HalfOfE4M3(block[part]);
        }
    }

    /// <summary>Twice the E2M1 number in a byte's low (0) or high (1) nibble.</summary>
    private static int Float4(byte packed, int half) => Doubled[packed >> (4 * half) & 15];

    private static ReadOnlySpan<sbyte> Doubled => [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

    /// <summary>Half an unsigned E4M3 number; ggml reads its NaN as 0.</summary>
    private static float HalfOfE4M3(byte bits)
    {
        var (exponent, mantissa) = (bits >> 3 & 15, bits & 7);
        if (bits == 0x7f)
            return 0;
        return exponent == 0 ? MathF.ScaleB(mantissa, -10) : MathF.ScaleB(1 + mantissa / 8f, exponent - 8);
    }

    private static float Half(byte* at) => FloatConversion.HalfToSingle(Unsafe.ReadUnaligned<ushort>(at));

    /// <summary>Scale and minimum <paramref name="index"/> of the K types: 6 bits each, the last four of both in pieces.</summary>
    private static (int Scale, int Min) ScaleAndMin(byte* packed, int index) => index < 4
        ? (packed[index] & 63, packed[index + 4] & 63)
        : ((packed[index + 4] & 15) | (packed[index - 4] >> 6 << 4), (packed[index + 4] >> 4) | (packed[index] >> 6 << 4));

    /// <summary>16 bits, each as 0x10 or 0 in a byte of its own.</summary>
    private static Vector128<byte> FifthBits(byte* at)
    {
        var spread = Vector128.Shuffle(Vector128.Create(Unsafe.ReadUnaligned<ushort>(at)).AsByte(), EightTimesEach);
        return Vector128.Equals(spread & BitOfByte, BitOfByte) & FifthBit;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Scale(Vector128<sbyte> quants, float scale, float* to)
    {
        var (low, high) = Widen(quants);
        (low * scale).Store(to);
        (high * scale).Store(to + 8);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Scale(Vector128<sbyte> quants, float scale, float offset, float* to)
    {
        var (low, high) = Widen(quants);
        (low * scale + Vector256.Create(offset)).Store(to);
        (high * scale + Vector256.Create(offset)).Store(to + 8);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector256<float> Low, Vector256<float> High) Widen(Vector128<sbyte> quants)
    {
        if (Avx2.IsSupported)
        {
            var words = Avx2.ConvertToVector256Int16(quants);
            return (
                Vector256.ConvertToSingle(Avx2.ConvertToVector256Int32(words.GetLower())),
                Vector256.ConvertToSingle(Avx2.ConvertToVector256Int32(words.GetUpper())));
        }
        var (low, high) = Vector256.Widen(Vector256.Create(Vector128.WidenLower(quants), Vector128.WidenUpper(quants)));
        return (Vector256.ConvertToSingle(low), Vector256.ConvertToSingle(high));
    }
}
