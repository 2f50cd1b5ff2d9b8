using System.Runtime.Intrinsics;

namespace Qbb.Quantizer.Methods.Rounding;

/// <summary>
/// The asymmetric integer grid of round-to-nearest, in fp32 and in the order of the GPTQ family's code, so that results are equal bit for
/// bit: the range contains 0, s = (max − min)/(2^b − 1), z = round(−min/s), q = clamp(round(w/s) + z), halves round to even.
/// </summary>
internal readonly record struct RtnGrid(float Scale, float Zero, float Largest)
{
    /// <summary>The range of a group, 0 included.</summary>
    public static (float Low, float High) Range(ReadOnlySpan<float> w)
    {
        float low = 0, high = 0;
        foreach (var value in w)
            (low, high) = (Math.Min(low, value), Math.Max(high, value));
        return (low, high);
    }

    /// <summary>The grid over a range that contains 0.</summary>
    public static RtnGrid Over(float low, float high, int bits)
    {
        float largest = (1 << bits) - 1;
        var scale = (high - low) / largest;
        if (scale == 0)
            (low, scale) = (-1, 2 / largest);
        return new RtnGrid(scale, MathF.Round(-low / scale), largest);
    }

    /// <summary>The code of one weight.</summary>
    public byte Encode(float w) => (byte)Math.Clamp(MathF.Round(w / Scale) + Zero, 0, Largest);

    /// <summary>The weight of a code.</summary>
    public float Decode(byte code) => (code - Zero) * Scale;

    /// <summary>Σ(w − ŵ)² in fp32.</summary>
    public float SquaredError(ReadOnlySpan<float> w)
    {
        var sums = Vector256<float>.Zero;
        var (scale, zero, largest) = (Vector256.Create(Scale), Vector256.Create(Zero), Vector256.Create(Largest));
        var j = 0;
        for (; j + 8 <= w.Length; j += 8)
        {
            var value = Vector256.Create(w.Slice(j, 8));
            var code = Vector256.Clamp(Vector256.Round(value / scale) + zero, Vector256<float>.Zero, largest);
            var error = (code - zero) * scale - value;
            sums += error * error;
        }
        var sum = Vector256.Sum(sums);
        for (; j < w.Length; j++)
        {
            var error = (Encode(w[j]) - Zero) * Scale - w[j];
            sum += error * error;
        }
        return sum;
    }
}
