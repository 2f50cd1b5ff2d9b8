using Qbb.Cuda;

namespace Qbb.Bases.Cuda;

/// <summary>Launches count.cu.</summary>
internal static class CountProduct
{
    /// <summary>More tokens than this are counted no faster than the matrix unit multiplies them.</summary>
    public const int MostTokens = 4;

    private const int FewestWarps = 4;

    /// <summary>The shape that serves a weight and a number of tokens on a device.</summary>
    /// <param name="weight">Ŵ.</param>
    /// <param name="tokens">Rows of x.</param>
    /// <param name="bfloat">x is bf16.</param>
    /// <param name="input">What stands between x and the product: every block calculates it anew, so that one large block does with half the work of two.</param>
    /// <param name="memory">Of the device; that of the weight's where null.</param>
    public static CountShape ShapeFor(PackedBases weight, int tokens, bool bfloat, CountInput input = CountInput.Plain, SharedMemory? memory = null)
    {
        var there = memory ?? SharedMemory.Of(weight.Words.device);
        // About 8 KB on the way for each of 16 warps hides the memory's latency.
        var stages = Math.Clamp(16 / weight.Count, 3, 8);
        var two = new CountShape(weight.Count, weight.HasBias, tokens, weight.KernelGroup, bfloat, Warps: 8, stages, Blocks: 2, input);
        if (input == CountInput.Plain && there.Holds(2, two.SharedBytes(weight.InFeatures)))
            return two;
        var one = two with { Warps = 16, Blocks = 1, Stages = Math.Min(stages, 4) };
        while (!there.Holds(1, one.SharedBytes(weight.InFeatures)) && one.Stages > 2)
            one = one with { Stages = one.Stages - 1 };
        while (!there.Holds(1, one.SharedBytes(weight.InFeatures)) && one.Warps > FewestWarps)
            one = one with { Warps = one.Warps / 2 };
        return one;
    }

    /// <summary>Whether the kernel can do it.</summary>
    public static bool Supports(PackedBases weight, int tokens, SharedMemory? memory = null)
    {
        // Where two blocks fit, so does the one that an input which is no plain one takes.
        var there = memory ?? SharedMemory.Of(weight.Words.device);
        return tokens is >= 1 and <= MostTokens && CountShape.Supports(weight.GroupSize, weight.InFeatures)
            && there.Holds(1, ShapeFor(weight, tokens, false, CountInput.Normed, there).SharedBytes(weight.InFeatures));
    }

    /// <summary>y = x Ŵᵀ (+ addend), queued on the current stream.</summary>
    /// <param name="weight">Ŵ [out, in].</param>
    /// <param name="x">f16 or bf16 [tokens, in]; [tokens, 2 in] for a gated input.</param>
    /// <param name="addend">[tokens, out], [out] or null.</param>
    /// <param name="y">[tokens, out], of x's type.</param>
    /// <param name="shape">Null for <see cref="ShapeFor"/>.</param>
    /// <param name="norm">Weight [in] of a normed input.</param>
    /// <param name="epsilon">Added to the mean square of a normed input.</param>
    public static void Run(PackedBases weight, Tensor x, Tensor? addend, Tensor y, CountShape? shape = null, Tensor? norm = null, double epsilon = 0)
    {
        shape ??= ShapeFor(weight, (int)x.size(0), x.dtype == ScalarType.BFloat16);
        var module = KernelModule.Load(shape.Source, x.device);
        var blocks = Math.Min(FragmentLayout.Tiles(weight.OutFeatures), module.Device.MultiprocessorCount * shape.Blocks);
        module[CountShape.Kernel].LaunchOverlapping(blocks, shape.Threads, shape.SharedBytes(weight.InFeatures),
            weight.Words, weight.Scales, x, norm, addend, y, weight.InFeatures, weight.OutFeatures, weight.Groups,
            CountShape.AddendStride(addend, weight), (float)epsilon);
    }
}
