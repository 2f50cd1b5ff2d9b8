using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Qbb.Bases.Cpu;

/// <summary>Inputs as integers of −127 to 127 and a scale: symmetric, x ≈ s·q with s = max|x| / 127.</summary>
internal static class Int8Activations
{
    private const float Largest = 127;

    /// <summary>The scale of inputs; 0 where all are 0, not finite where an input is not.</summary>
    public static float ScaleOf(ReadOnlySpan<float> x)
    {
        var largest = Vector256<float>.Zero;
        var blocks = MemoryMarshal.Cast<float, Vector256<float>>(x);
        foreach (var block in blocks)
            largest = Vector256.Max(largest, Vector256.Abs(block));
        var result = 0f;
        for (var lane = 0; lane < Vector256<float>.Count; lane++)
            result = MathF.Max(result, largest[lane]);
        foreach (var value in x[(blocks.Length * Vector256<float>.Count)..])
            result = MathF.Max(result, MathF.Abs(value));
        return result / Largest;
    }

    /// <summary>Rounds to nearest; all zeros where the scale is 0 or not finite.</summary>
    public static void Quantize(ReadOnlySpan<float> x, float scale, Span<int> q)
    {
        if (!(scale > 0 && float.IsFinite(1 / scale) && float.IsFinite(scale)))
        {
            q[..x.Length].Clear();
            return;
        }
        var blocks = MemoryMarshal.Cast<float, Vector256<float>>(x);
        for (var block = 0; block < blocks.Length; block++)
            Vector256.ConvertToInt32(Vector256.Round(blocks[block] / scale)).CopyTo(q[(block * Vector256<float>.Count)..]);
        for (var k = blocks.Length * Vector256<float>.Count; k < x.Length; k++)
            q[k] = (int)MathF.Round(x[k] / scale);
    }
}
