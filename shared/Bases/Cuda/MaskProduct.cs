using Qbb.Torch;
using Qbb.Torch.Cuda;

namespace Qbb.Bases.Cuda;

/// <summary>Launches mask.cu.</summary>
internal static class MaskProduct
{
    public const int MostTokens = 16;

    private const int SharedPerBlock = 224 << 10;

    /// <summary>The shape that serves a weight and a number of tokens.</summary>
    public static MaskShape ShapeFor(PackedBases weight, int tokens, bool bfloat)
    {
        var shape = new MaskShape(weight.Count, weight.HasBias, tokens <= 8 ? 8 : 16, weight.KernelGroup, bfloat, Warps: 16, Stages: 3, Slab: tokens <= 8 ? 16 : 8);
        while (shape.SharedBytes > SharedPerBlock && shape.Stages > 2)
            shape = shape with { Stages = shape.Stages - 1 };
        while (shape.SharedBytes > SharedPerBlock)
            shape = shape with { Slab = shape.Slab / 2 };
        return shape;
    }

    /// <summary>Whether the kernel can do it.</summary>
    public static bool Supports(PackedBases weight, int tokens) => tokens is >= 1 and <= MostTokens && MaskShape.Supports(weight.GroupSize, weight.InFeatures);

    /// <summary>y = x Ŵᵀ (+ addend), queued on the current stream; arguments as those of <see cref="CountProduct.Run"/>.</summary>
    public static void Run(PackedBases weight, Tensor x, Tensor? addend, Tensor y, MaskShape? shape = null)
    {
        var tokens = (int)x.size(0);
        shape ??= ShapeFor(weight, tokens, x.dtype == ScalarType.BFloat16);
        var module = KernelModule.Load(shape.Source, x.device);
        var blocks = Math.Min(FragmentLayout.Tiles(weight.OutFeatures), module.Device.MultiprocessorCount);
        module[MaskShape.Kernel].LaunchOverlapping(blocks, shape.Threads, shape.SharedBytes, weight.Words, weight.Scales, x, addend, y,
            tokens, weight.InFeatures, weight.OutFeatures, weight.Groups, CountShape.AddendStride(addend, weight), weight.Up);
    }
}
