using System.Text.Json.Nodes;

namespace Qbb.Checkpoints;

/// <summary>Looks at a model folder or at a single safetensors or GGUF file, of whatever architecture.</summary>
public static class CheckpointInspector
{
    private const int LongestArray = 8;
    private const int LongestString = 200;

    /// <param name="path">A folder, a GGUF file, a safetensors file, or an index of safetensors shards.</param>
    /// <exception cref="InvalidInputException">It is none of these, or it is damaged.</exception>
    public static Inspection Inspect(string path)
    {
        if (Directory.Exists(path))
            return Folders.Guard(path, () => InspectFolder(path));
        if (!File.Exists(path))
            throw new InvalidInputException($"{path}: no such file or folder");
        PickleFiles.Refuse(path);
        if (path.EndsWith(".index.json", StringComparison.Ordinal))
        {
            using var shards = SafetensorsShards.Open(path);
            return OfTensors(path, "safetensors", shards, shards.Files);
        }
        return BeginsLikeGguf(path) ? InspectGguf(path, path) : InspectSafetensors(path);
    }

    private static Inspection InspectFolder(string folder)
    {
        var configPath = Path.Combine(folder, ConfigFile.Name);
        if (!SafetensorsFolder.HasWeights(folder) && Folders.SingleGguf(folder) is { } gguf)
            return InspectGguf(folder, gguf);
        var config = File.Exists(configPath) ? ConfigFile.Read(configPath) : null;
        using var tensors = SafetensorsFolder.Open(folder);
        var single = tensors as SafetensorsFile;
        IReadOnlyList<string> weights = single != null ? [single.Path] : ((SafetensorsShards)tensors).Files;
        var kind = config != null ? ModelSource.HuggingFace : "safetensors";
        return OfTensors(folder, kind, tensors, config != null ? [configPath, .. weights] : weights) with
        {
            Architecture = Text((config?["architectures"] as JsonArray)?.FirstOrDefault()) ?? Text(config?["model_type"]),
            Quantization = Text((config?["quantization_config"] as JsonObject)?["quant_method"]),
            Packed = config is null || PackedFormat.FirstIn(tensors) is null ? null : Described(config, configPath),
            Config = config,
            Metadata = single != null ? OfStrings(single.Metadata) : [],
        };
    }

    private static Inspection InspectGguf(string path, string filePath)
    {
        using var file = GgufFile.Open(filePath);
        var metadata = new JsonObject();
        foreach (var (key, value) in file.Metadata)
            metadata[key] = OfValue(value);
        return OfTensors(path, ModelSource.Gguf, file, file.Files) with
        {
            Architecture = file.Architecture.Length > 0 ? file.Architecture : null,
            Metadata = metadata,
        };
    }

    private static Inspection InspectSafetensors(string path)
    {
        using var file = SafetensorsFile.Open(path);
        return OfTensors(path, "safetensors", file, [path]) with { Metadata = OfStrings(file.Metadata) };
    }

    private static Inspection OfTensors(string path, string kind, ITensorSource tensors, IReadOnlyList<string> files) => new()
    {
        Path = path,
        Kind = kind,
        Files = [.. files.Select(file => new InspectedFile(Path.GetFileName(file), MappedFile.FileLength(file)))],
        Tensors = tensors.Entries,
        Metadata = [],
    };

    private static bool BeginsLikeGguf(string path)
    {
        using var file = MappedFile.Open(path);
        return Path.GetExtension(path).Equals(".gguf", StringComparison.OrdinalIgnoreCase)
            || (file.Length >= 4 && file.Slice(0, 4).SequenceEqual("GGUF"u8));
    }

    /// <summary>Null where the settings are damaged: what is wrong is said where the weights are read.</summary>
    private static string? Described(JsonObject config, string path)
    {
        try
        {
            return PackedFormat.Read(config, path)?.Description;
        }
        catch (InvalidInputException)
        {
            return null;
        }
    }

    private static string? Text(JsonNode? node) => node is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;

    private static JsonObject OfStrings(IReadOnlyDictionary<string, string> metadata) =>
        new(metadata.Select(pair => KeyValuePair.Create(pair.Key, (JsonNode?)Cut(pair.Value))));

    private static JsonNode OfValue(object value) => value switch
    {
        string text => Cut(text),
        // JSON has no word for NaN and infinity.
        float number => float.IsFinite(number) ? number : number.ToString(),
        double number => double.IsFinite(number) ? number : number.ToString(),
        Array { Length: > LongestArray } array => new JsonObject
        {
            ["count"] = array.Length,
            ["first"] = new JsonArray([.. array.Cast<object>().Take(LongestArray).Select(OfValue)]),
        },
        Array array => new JsonArray([.. array.Cast<object>().Select(OfValue)]),
        bool flag => flag,
        _ => Convert.ToDecimal(value),
    };

    private static string Cut(string text) => text.Length <= LongestString ? text : text[..LongestString] + "…";
}
