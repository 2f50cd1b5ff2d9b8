using System.Text.Json.Nodes;
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
        if (QbbFormat.Read(model.ConfigJson, model.Path) is not { } quantization)
        {
            return bases is null ? null : throw new InvalidInputException(
                $"{model.Path}: is not quantized by qbb, so there are no {bases} bases to take of it: leave out --bases");
        }
        if (bases is not null)
            CheckNested(quantization, bases.Value, model.Path);
        return new BasesLinearLoader(ReadGroupSize(quantization["group_size"], model.Path), own, options, bases);
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

    private static void CheckNested(JsonObject quantization, int bases, string path)
    {
        if (quantization["nested"]?.ToString() != "true")
            throw new InvalidInputException($"{path}: has no smaller models within, as it was quantized without --nested: leave out --bases");
        if (bases < 1 || quantization["bases"] is JsonValue value && value.TryGetValue<int>(out var all) && bases > all)
            throw new InvalidInputException($"{path}: --bases is {bases}; this nested model has 1 to {quantization["bases"]}");
    }

    private static int? ReadGroupSize(JsonNode? node, string path)
    {
        if (node is null)
            return null;
        if (node is JsonValue value && value.TryGetValue<int>(out var size) && size >= 1)
            return size;
        throw new InvalidInputException(
            $"{path}/config.json: quantization_config.group_size is {node.ToJsonString()}; " +
            "it must be a positive number, or null for one scale a row");
    }
}
