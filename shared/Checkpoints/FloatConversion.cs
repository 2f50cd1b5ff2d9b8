using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Qbb.Checkpoints;

/// <summary>
/// Arrays of 16-bit floats to and from fp32. Numbers travel as their bits: ushort for fp16 and bf16.
/// .NET exposes no F16C instruction, so the vectors do with integer arithmetic what the hardware would.
/// </summary>
public static class FloatConversion
{
    private const uint Magnitude = 0x7fff_ffff;
    private const uint Infinity = 0x7f80_0000;
    private const int Step = 16;

    /// <summary>bf16 to fp32: the bits move up by 16.</summary>
    public static void Bfloat16ToSingle(ReadOnlySpan<ushort> source, Span<float> destination)
    {
        CheckLengths(source.Length, destination.Length);
        ref var from = ref MemoryMarshal.GetReference(source);
        ref var to = ref MemoryMarshal.GetReference(destination);
        var i = 0;
        for (; i <= source.Length - Step; i += Step)
        {
            var (low, high) = Vector256.Widen(Vector256.LoadUnsafe(ref from, (nuint)i));
            (low << 16).AsSingle().StoreUnsafe(ref to, (nuint)i);
            (high << 16).AsSingle().StoreUnsafe(ref to, (nuint)(i + Step / 2));
        }
        for (; i < source.Length; i++)
            destination[i] = BitConverter.UInt32BitsToSingle((uint)source[i] << 16);
    }

    /// <summary>fp16 to fp32, exactly, subnormals, infinities and NaN included.</summary>
    public static void HalfToSingle(ReadOnlySpan<ushort> source, Span<float> destination)
    {
        CheckLengths(source.Length, destination.Length);
        ref var from = ref MemoryMarshal.GetReference(source);
        ref var to = ref MemoryMarshal.GetReference(destination);
        var i = 0;
        for (; i <= source.Length - Step; i += Step)
        {
            var (low, high) = Vector256.Widen(Vector256.LoadUnsafe(ref from, (nuint)i));
            HalfToSingle(low).StoreUnsafe(ref to, (nuint)i);
            HalfToSingle(high).StoreUnsafe(ref to, (nuint)(i + Step / 2));
        }
        for (; i < source.Length; i++)
            destination[i] = HalfToSingle(source[i]);
    }

    /// <summary>One fp16 number to fp32.</summary>
    public static float HalfToSingle(ushort bits) => (float)BitConverter.UInt16BitsToHalf(bits);

    /// <summary>fp32 to bf16, to nearest, ties to even.</summary>
    /// <returns>The index of the first finite number that bf16 cannot hold (it becomes infinite), or -1.</returns>
    public static int SingleToBfloat16(ReadOnlySpan<float> source, Span<ushort> destination)
    {
        CheckLengths(source.Length, destination.Length);
        ref var from = ref MemoryMarshal.GetReference(source);
        ref var to = ref MemoryMarshal.GetReference(destination);
        var overflow = -1;
        for (var i = 0; i < source.Length;)
        {
            // Blocks with a special number, and what is left at the end, go one by one.
            if (i <= source.Length - Step)
            {
                var low = Vector256.LoadUnsafe(ref from, (nuint)i).AsUInt32();
                var high = Vector256.LoadUnsafe(ref from, (nuint)(i + Step / 2)).AsUInt32();
                if (!ReachesLimit(low, high, Bfloat16Limit))
                {
                    Vector256.Narrow(RoundUpper(low), RoundUpper(high)).StoreUnsafe(ref to, (nuint)i);
                    i += Step;
                    continue;
                }
            }
            for (var end = Math.Min(i + Step, source.Length); i < end; i++)
            {
                var bits = BitConverter.SingleToUInt32Bits(source[i]);
                if (overflow < 0 && (bits & Magnitude) is >= Bfloat16Limit and < Infinity)
                    overflow = i;
                destination[i] = float.IsNaN(source[i])
                    ? (ushort)((bits >> 16) | 0x40)
                    : (ushort)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
            }
        }
        return overflow;
    }

    /// <summary>fp32 to fp16, to nearest, ties to even.</summary>
    /// <returns>The index of the first finite number that fp16 cannot hold (65520 and more in magnitude; it becomes infinite), or
    /// -1.</returns>
    public static int SingleToHalf(ReadOnlySpan<float> source, Span<ushort> destination)
    {
        CheckLengths(source.Length, destination.Length);
        ref var from = ref MemoryMarshal.GetReference(source);
        ref var to = ref MemoryMarshal.GetReference(destination);
        var overflow = -1;
        for (var i = 0; i < source.Length;)
        {
            if (i <= source.Length - Step)
            {
                var low = Vector256.LoadUnsafe(ref from, (nuint)i).AsUInt32();
                var high = Vector256.LoadUnsafe(ref from, (nuint)(i + Step / 2)).AsUInt32();
                if (!ReachesLimit(low, high, HalfLimit))
                {
                    Vector256.Narrow(SingleToHalf(low), SingleToHalf(high)).StoreUnsafe(ref to, (nuint)i);
                    i += Step;
                    continue;
                }
            }
            for (var end = Math.Min(i + Step, source.Length); i < end; i++)
            {
                if (overflow < 0 && (BitConverter.SingleToUInt32Bits(source[i]) & Magnitude) is >= HalfLimit and < Infinity)
                    overflow = i;
                destination[i] = BitConverter.HalfToUInt16Bits((Half)source[i]);
            }
        }
        return overflow;
    }

    // The smallest magnitudes that round to infinity: halfway between the largest number and what would follow it.
    private const uint Bfloat16Limit = 0x7f7f_8000;
    private const uint HalfLimit = 0x477f_f000;

    private static void CheckLengths(int source, int destination)
    {
        if (source != destination)
            throw new ArgumentException($"{source} numbers do not fit {destination} places");
    }

    private static bool ReachesLimit(Vector256<uint> low, Vector256<uint> high, uint limit)
    {
        var largest = Vector256.Max(low & Vector256.Create(Magnitude), high & Vector256.Create(Magnitude));
        return Vector256.GreaterThanOrEqualAny(largest.AsInt32(), Vector256.Create((int)limit));
    }

    private static Vector256<uint> RoundUpper(Vector256<uint> bits) =>
        (bits + Vector256.Create(0x7fffu) + ((bits >>> 16) & Vector256<uint>.One)) >>> 16;

    private static Vector256<float> HalfToSingle(Vector256<uint> half)
    {
        var magnitude = (half & Vector256.Create(0x7fffu)) << 13;
        var normal = magnitude + Vector256.Create((127u - 15u) << 23);
        // The bits of a subnormal half, put behind the exponent of its smallest normal 2^-14, are that number too large.
        // (Multiplying by 2^112 would do for both, but stalls on subnormal inputs.)
        var smallest = Vector256.Create((127u - 14u) << 23);
        var subnormal = ((magnitude | smallest).AsSingle() - smallest.AsSingle()).AsUInt32();
        var isSubnormal = Vector256.LessThan(magnitude.AsInt32(), Vector256.Create(0x400 << 13)).AsUInt32();
        var isSpecial = Vector256.GreaterThanOrEqual(magnitude.AsInt32(), Vector256.Create(0x7c00 << 13)).AsUInt32();
        var number = Vector256.ConditionalSelect(isSubnormal, subnormal, normal | (isSpecial & Vector256.Create(Infinity)));
        return (number | ((half & Vector256.Create(0x8000u)) << 16)).AsSingle();
    }

    private static Vector256<uint> SingleToHalf(Vector256<uint> bits)
    {
        var magnitude = bits & Vector256.Create(Magnitude);
        var rounded = magnitude + Vector256.Create(0xfffu) + ((magnitude >>> 13) & Vector256<uint>.One);
        var normal = (rounded - Vector256.Create((127u - 15u) << 23)) >>> 13;
        // Adding 0.5 leaves a subnormal half's bits at the low end of the sum, rounded by the addition itself.
        var half = Vector256.Create(0.5f);
        var subnormal = (magnitude.AsSingle() + half).AsUInt32() - half.AsUInt32();
        var isSubnormal = Vector256.LessThan(magnitude.AsInt32(), Vector256.Create((127 - 14) << 23));
        return Vector256.ConditionalSelect(isSubnormal.AsUInt32(), subnormal, normal) | ((bits >>> 16) & Vector256.Create(0x8000u));
    }
}
