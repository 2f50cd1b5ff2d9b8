using System.Text.Json.Nodes;
using Qbb.Checkpoints;

namespace Qbb.Bases;

/// <summary>The groups of a model that qbb quantized.</summary>
/// <param name="Size">Columns that share a scale; null for row scales.</param>
public sealed record BasesGroups(int? Size)
{
    /// <summary>Those of a model; null where config.json says nothing of qbb.</summary>
    /// <param name="model">The checkpoint.</param>
    /// <param name="bases">Of a nested checkpoint only the first planes; null for all.</param>
    /// <exception cref="InvalidInputException">quantization_config is damaged, or the model has no smaller models within.</exception>
    public static BasesGroups? Of(ModelSource model, int? bases = null)
    {
        if (QbbFormat.Read(model.ConfigJson, model.Path) is not { } quantization)
        {
            return bases is null ? null : throw new InvalidInputException(
                $"{model.Path}: is not quantized by qbb, so there are no {bases} bases to take of it: leave out --bases");
        }
        if (bases is not null)
            CheckNested(quantization, bases.Value, model.Path);
        return new BasesGroups(ReadSize(quantization["group_size"], model.Path));
    }

    /// <summary>Whether a model has smaller models within: its first bases.</summary>
    public static bool IsNested(ModelSource model) => QbbFormat.Read(model.ConfigJson, model.Path) is { } quantization && IsNested(quantization);

    private static bool IsNested(JsonObject quantization) => quantization["nested"]?.ToString() == "true";

    private static void CheckNested(JsonObject quantization, int bases, string path)
    {
        if (!IsNested(quantization))
            throw new InvalidInputException($"{path}: has no smaller models within, as it was quantized without --nested: leave out --bases");
        if (bases < 1 || quantization["bases"] is JsonValue value && value.TryGetValue<int>(out var all) && bases > all)
            throw new InvalidInputException($"{path}: --bases is {bases}; this nested model has 1 to {quantization["bases"]}");
    }

    private static int? ReadSize(JsonNode? node, string path)
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
