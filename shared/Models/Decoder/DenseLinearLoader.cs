using Qbb.Checkpoints;

namespace Qbb.Models.Decoder;

/// <summary>Loads linear layers with plain weights.</summary>
/// <param name="own">Memory of its own instead of views of the mapped file; needed to train.</param>
public sealed class DenseLinearLoader(bool own = false) : ILinearLoader
{
    public ILinear Load(ITensorSource source, LinearSpec spec, Device device, ScalarType dtype)
    {
        var weight = WeightLoader.Load(source, spec.Weight, WeightLoader.StoredShape(spec), device, dtype, own);
        var bias = spec.Bias is null ? null : WeightLoader.Load(source, spec.Bias, [spec.OutFeatures], device, dtype, own);
        return new DenseLinear(weight, bias, spec.Transposed);
    }
}
