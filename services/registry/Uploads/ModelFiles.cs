using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Artifacts;
using Qbb.Checkpoints;

namespace Qbb.Registry.Uploads;

/// <summary>Whether some files can be a model at all; whether it can be read is for the workers to say.</summary>
internal static class ModelFiles
{
    private const string Index = "model.safetensors.index.json";
    private const int MostIndexBytes = 64 << 20;
    private const int MostConfigBytes = 4 << 20;

    // Metadata of a tokenizer of 260,000 words take about 10 MiB.
    private const int MostGgufBytes = 24 << 20;
    private static readonly JsonDocumentOptions s_strict = new() { AllowDuplicateProperties = false };
    private static readonly string[] s_pickles = [".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"];

    /// <summary>What is wrong with the names.</summary>
    public static IEnumerable<string> Problems(IReadOnlyCollection<string> names)
    {
        foreach (var name in names)
        {
            if (FileNames.ProblemOf(name) is { } problem)
                yield return $"the file name \"{Shown(name)}\" is not allowed: {problem}";
            else if (s_pickles.Any(ending => name.EndsWith(ending, StringComparison.OrdinalIgnoreCase)))
                yield return $"{name} is a pickle file, which can run code when it is read: convert it to safetensors";
        }
        foreach (var same in names.GroupBy(name => name, StringComparer.OrdinalIgnoreCase).Where(same => same.Count() > 1))
            yield return $"{Shown(same.Key)} is listed {same.Count()} times (capital letters do not tell files apart everywhere)";
        var hasWeights = names.Any(name => name.EndsWith(".safetensors", StringComparison.Ordinal));
        var isGguf = names.Any(name => name.EndsWith(".gguf", StringComparison.Ordinal));
        if (!hasWeights && !isGguf)
            yield return "there are no weights: a model has .safetensors files or one .gguf file";
        if (hasWeights && !names.Contains("config.json"))
            yield return "config.json is missing";
    }

    /// <summary>The config.json, of a GGUF file the sizes that it tells; null if it is missing or invalid, which the workers then report.</summary>
    public static async Task<JsonObject?> ConfigAsync(ArtifactManifest manifest, IArtifactStore store, CancellationToken cancellation)
    {
        if (!manifest.Files.TryGetValue("config.json", out var entry))
            return await GgufSizesAsync(manifest, store, cancellation);
        if (entry.Size > MostConfigBytes)
            return null;
        try
        {
            await using var stream = await store.OpenReadAsync(entry.Digest, cancellation: cancellation);
            return await JsonNode.ParseAsync(stream, documentOptions: s_strict, cancellationToken: cancellation) as JsonObject;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static async Task<JsonObject?> GgufSizesAsync(ArtifactManifest manifest, IArtifactStore store, CancellationToken cancellation)
    {
        // The first piece of several has the metadata of all.
        if (manifest.Files.Where(file => file.Key.EndsWith(".gguf", StringComparison.Ordinal)).OrderBy(file => file.Key, StringComparer.Ordinal).FirstOrDefault().Value is not { } file)
            return null;
        var start = new byte[Math.Min(file.Size, MostGgufBytes)];
        await using var stream = await store.OpenReadAsync(file.Digest, cancellation: cancellation);
        await stream.ReadExactlyAsync(start, cancellation);
        return GgufConfig.SizesOf(start);
    }

    /// <summary>What quantized the model, as its config.json says; null for nothing.</summary>
    public static string? QuantizedBy(JsonObject? config) => config?["quantization_config"] is not JsonObject quantization ? null
        : quantization["quant_method"] is JsonValue method && method.TryGetValue<string>(out var name) ? Shown(name) : "an unknown method";

    /// <summary>Files that the index of the weights names and that are not there.</summary>
    public static async Task<IReadOnlyList<string>> MissingShardsAsync(
        ArtifactManifest manifest, IArtifactStore store, CancellationToken cancellation)
    {
        // A whole file is read in place of its shards, be there an index or not.
        if (manifest.Files.ContainsKey("model.safetensors") || !manifest.Files.TryGetValue(Index, out var entry))
            return [];
        if (entry.Size > MostIndexBytes)
            return [$"{Index} is larger than {MostIndexBytes >> 20} MiB"];
        try
        {
            await using var stream = await store.OpenReadAsync(entry.Digest, cancellation: cancellation);
            using var index = await JsonDocument.ParseAsync(stream, cancellationToken: cancellation);
            return [.. index.RootElement.GetProperty("weight_map").EnumerateObject().Select(tensor => tensor.Value.GetString() ?? "")
                .Distinct(StringComparer.Ordinal).Where(name => !manifest.Files.ContainsKey(name)).Order(StringComparer.Ordinal)
                .Select(name => $"{Shown(name)} is missing, which {Index} names")];
        }
        catch (Exception error) when (error is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            return [$"{Index} cannot be read: {error.Message}"];
        }
    }

    private static string Shown(string name) => string.Concat(name.Take(100).Select(character => char.IsControl(character) ? '\uFFFD' : character));
}
