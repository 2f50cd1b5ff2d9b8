using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;

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
        var bias = spec.Bias is null ? null : WeightLoader.Load(source, spec.Bias, [spec.OutFeatures], device, dtype);
        return new DenseLinear(Expand(bases, spec, device, dtype).DetachFromDisposeScope(), bias, transposed: false);
    }

    private static Tensor Expand(IQuantizedWeight weight, LinearSpec spec, Device device, ScalarType dtype)
    {
        if (weight is BinaryBases bases)
        {
            // On the device: there and back a weight would cross the bus as fp32.
            using var linear = new BinaryLinear(bases, null, device, dtype);
            return linear.Weight();
        }
        var values = torch.empty([spec.OutFeatures, spec.InFeatures]);
        weight.Dequantize(0, spec.OutFeatures, values.AsSpan<float>());
        return values.to(device).to(dtype);
    }
}
