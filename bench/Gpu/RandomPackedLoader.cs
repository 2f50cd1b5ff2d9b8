using Qbb.Bases.Cuda;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;

namespace Qbb.Bench.Gpu;

/// <summary>Layers of random signs, drawn in their packed form on the GPU where they will be used; what is outside the blocks stays dense.</summary>
/// <param name="bases">N.</param>
/// <param name="group">Inputs that share a scale.</param>
internal sealed class RandomPackedLoader(int bases, int group) : ILinearLoader
{
    private readonly DenseLinearLoader _dense = new();

    public ILinear Load(ITensorSource source, LinearSpec spec, Device device, ScalarType dtype)
    {
        if (spec.Block < 0)
            return _dense.Load(source, spec, device, dtype);
        // Together of about the deviation of a dense model's weights.
        var deviation = spec.Role is LinearRole.AttentionOutput or LinearRole.Down ? 0.002 : 0.016;
        return new PackedLinear(new CudaProduct(Draw(spec.InFeatures, spec.OutFeatures, bases, group, device, deviation)), null, dtype);
    }

    /// <summary>A random weight.</summary>
    public static PackedBases Draw(int inFeatures, int outFeatures, int bases, int group, Device device, double largest = 0.016)
    {
        using var scope = torch.NewDisposeScope();
        var groupSize = Math.Min(group, inFeatures);
        long tiles = FragmentLayout.Tiles(outFeatures), steps = FragmentLayout.Steps(inFeatures), groups = (inFeatures - 1) / groupSize + 1;
        var words = torch.randint(int.MinValue, int.MaxValue, [tiles, steps, bases, 32, 4], null, device).to(ScalarType.Int32);
        var scales = torch.empty([tiles, groups, 8, bases, 2], ScalarType.Float16, device);
        for (var i = 0; i < bases; i++)
            scales.select(3, i).uniform_(largest * Math.ScaleB(0.9, -i), largest * Math.ScaleB(1.1, -i));
        return new(words.DetachFromDisposeScope(), scales.DetachFromDisposeScope(), bases, outFeatures, inFeatures, groupSize, false);
    }
}
