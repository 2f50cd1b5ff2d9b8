using Qbb.Bases;
using Qbb.Models.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Torch;

namespace Qbb.Quantizer.Calibration;

/// <summary>A quantized layer as a dense one, expanded once: for many passes over it.</summary>
internal static class ExpandedLinear
{
    /// <param name="bases">The weight.</param>
    /// <param name="source">Holds the layer's own bias.</param>
    /// <param name="spec">The layer.</param>
    /// <param name="device">Where to.</param>
    /// <param name="dtype">Type of the product.</param>
    public static DenseLinear Create(IQuantizedWeight bases, ITensorSource source, LinearSpec spec, Device device, ScalarType dtype)
    {
        using var scope = torch.NewDisposeScope();
        var weight = torch.empty([spec.OutFeatures, spec.InFeatures]);
        bases.Dequantize(0, spec.OutFeatures, weight.data<float>());
        var bias = spec.Bias is null ? null : WeightLoader.Load(source, spec.Bias, [spec.OutFeatures], device, dtype);
        return new DenseLinear(weight.to(device).to(dtype).DetachFromDisposeScope(), bias, transposed: false);
    }
}
