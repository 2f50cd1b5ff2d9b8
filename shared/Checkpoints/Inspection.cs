using System.Text.Json.Nodes;

namespace Qbb.Checkpoints;

/// <summary>What a model folder or a single file is and holds; from headers alone, no weight is read.</summary>
public sealed record Inspection
{
    /// <summary>As it was given.</summary>
    public required string Path { get; init; }

    /// <summary>huggingface, gguf or safetensors (weights without a configuration).</summary>
    public required string Kind { get; init; }

    /// <summary>The configuration's class or model type, or GGUF's <c>general.architecture</c>; null where nothing says it.</summary>
    public string? Architecture { get; init; }

    /// <summary>The configuration's <c>quantization_config.quant_method</c>; null for models that are not quantised.</summary>
    public string? Quantization { get; init; }

    /// <summary>How the weights are packed by another program, as far as they can be read; null for others.</summary>
    public string? Packed { get; init; }

    /// <summary>The files with the configuration and the weights.</summary>
    public required IReadOnlyList<InspectedFile> Files { get; init; }

    /// <summary>In file order, under the names that the files use.</summary>
    public required IReadOnlyList<TensorEntry> Tensors { get; init; }

    /// <summary>The file's own key-value pairs; long arrays of GGUF as their type, count and first elements.</summary>
    public required JsonObject Metadata { get; init; }

    /// <summary>The content of config.json; null if there is none.</summary>
    public JsonObject? Config { get; init; }

    /// <summary>Elements of all tensors.</summary>
    public long Elements => Tensors.Sum(tensor => tensor.Count);

    /// <summary>Bytes of all tensors.</summary>
    public long Bytes => Tensors.Sum(tensor => tensor.Bytes);

    /// <summary>Totals by stored type, the largest first.</summary>
    public IReadOnlyList<TypeTotal> Types =>
        [.. Tensors.GroupBy(tensor => tensor.Type, StringComparer.Ordinal)
            .Select(group => new TypeTotal(group.Key, group.Count(), group.Sum(tensor => tensor.Count), group.Sum(tensor => tensor.Bytes)))
            .OrderByDescending(total => total.Bytes).ThenBy(total => total.Type, StringComparer.Ordinal)];

    /// <summary>The same as one JSON object.</summary>
    public JsonObject ToJson() => new()
    {
        ["path"] = Path,
        ["kind"] = Kind,
        ["architecture"] = Architecture,
        ["quantization"] = Quantization,
        ["packed"] = Packed,
        ["parameters"] = Elements,
        ["bytes"] = Bytes,
        ["files"] = new JsonArray([.. Files.Select(file => new JsonObject { ["name"] = file.Name, ["bytes"] = file.Bytes })]),
        ["types"] = new JsonArray([.. Types.Select(total => new JsonObject
        {
            ["type"] = total.Type,
            ["tensors"] = total.Tensors,
            ["parameters"] = total.Elements,
            ["bytes"] = total.Bytes,
        })]),
        ["metadata"] = Metadata.DeepClone(),
        ["config"] = Config?.DeepClone(),
        ["tensors"] = new JsonArray([.. Tensors.Select(tensor => new JsonObject
        {
            ["name"] = tensor.Name,
            ["type"] = tensor.Type,
            ["shape"] = new JsonArray([.. tensor.Shape.Select(size => (JsonNode)size)]),
            ["bytes"] = tensor.Bytes,
        })]),
    };
}
