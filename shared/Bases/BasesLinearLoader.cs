using System.Text.Json.Nodes;
using Qbb.Models;
using Qbb.Models.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Torch;

namespace Qbb.Bases;

/// <summary>Loads the linear layers of a checkpoint that qbb wrote; layers that were left dense (the head) stay dense.</summary>
/// <param name="groupSize">Columns that share a scale; null for row scales.</param>
/// <param name="own">Dense layers get memory of their own instead of views of the mapped file.</param>
/// <param name="options">How products are calculated while no scale is trained.</param>
public sealed class BasesLinearLoader(int? groupSize, bool own = false, BasesProductOptions? options = null) : ILinearLoader
{
    /// <summary>Columns that share a scale; null for row scales.</summary>
    public int? GroupSize => groupSize;

    /// <summary>The value of quant_method in config.json.</summary>
    public const string QuantMethod = "qbb";

    private readonly DenseLinearLoader _dense = new(own);

    /// <summary>The loader that fits a model: null, for plain weights, where config.json says nothing of qbb.</summary>
    /// <exception cref="InvalidInputException">quantization_config is damaged.</exception>
    public static BasesLinearLoader? For(ModelSource model, bool own = false, BasesProductOptions? options = null)
    {
        if (model.ConfigJson["quantization_config"] is not JsonObject quantization
            || quantization["quant_method"]?.ToString() != QuantMethod)
            return null;
        return new BasesLinearLoader(ReadGroupSize(quantization["group_size"], model.Path), own, options);
    }

    /// <inheritdoc/>
    public ILinear Load(ITensorSource source, LinearSpec spec, Device device, ScalarType dtype)
    {
        if (!BasesTensors.Contains(source, spec.Module))
            return _dense.Load(source, spec, device, dtype);
        var bases = BasesTensors.Read(source, spec.Module, spec.OutFeatures, spec.InFeatures, groupSize);
        var bias = spec.Bias is null ? null : WeightLoader.Load(source, spec.Bias, [spec.OutFeatures], device, dtype, own);
        return new BinaryLinear(bases, bias, device, dtype, options);
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
