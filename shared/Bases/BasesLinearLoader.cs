using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;

namespace Qbb.Bases;

/// <summary>Loads the linear layers of a checkpoint that qbb wrote; layers that were left dense (the head) stay dense.</summary>
/// <param name="groupSize">Columns that share a scale; null for row scales.</param>
/// <param name="own">Dense layers get memory of their own instead of views of the mapped file.</param>
/// <param name="options">How products are calculated while no scale is trained.</param>
/// <param name="bases">Of a nested checkpoint only the first planes; null for all.</param>
public sealed class BasesLinearLoader(int? groupSize, bool own = false, BasesProductOptions? options = null, int? bases = null) : ILinearLoader
{
    /// <summary>Columns that share a scale; null for row scales.</summary>
    public int? GroupSize => groupSize;

    private readonly DenseLinearLoader _dense = new(own);

    /// <summary>The loader that fits a model: null, for plain weights, where config.json says nothing of qbb.</summary>
    /// <param name="model">The checkpoint.</param>
    /// <param name="own">Dense layers get memory of their own.</param>
    /// <param name="options">How products are calculated while no scale is trained.</param>
    /// <param name="bases">Of a nested checkpoint only the first planes; null for all.</param>
    /// <exception cref="InvalidInputException">quantization_config is damaged, or the model has no smaller models within.</exception>
    public static BasesLinearLoader? For(ModelSource model, bool own = false, BasesProductOptions? options = null, int? bases = null)
    {
        return BasesGroups.Of(model, bases) is { } groups ? new BasesLinearLoader(groups.Size, own, options, bases) : null;
    }

    /// <inheritdoc/>
    public ILinear Load(ITensorSource source, LinearSpec spec, Device device, ScalarType dtype)
    {
        if (!BasesTensors.Contains(source, spec.Module))
            return _dense.Load(source, spec, device, dtype);
        var weight = BasesTensors.Read(source, spec.Module, spec.OutFeatures, spec.InFeatures, groupSize, bases);
        var bias = spec.Bias is null ? null : WeightLoader.Load(source, spec.Bias, [spec.OutFeatures], device, dtype, own);
        return new BinaryLinear(weight, bias, device, dtype, options);
    }
}
