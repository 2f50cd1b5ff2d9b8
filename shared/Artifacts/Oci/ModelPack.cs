using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Contracts;

namespace Qbb.Artifacts.Oci;

/// <summary>A file of a model that is packed.</summary>
/// <param name="Name">Relative, with forward slashes.</param>
/// <param name="Digest">SHA-256 of its bytes.</param>
/// <param name="Size">In bytes.</param>
public sealed record PackedFile(string Name, Digest Digest, long Size);

/// <summary>What the artifact says of the model.</summary>
/// <param name="Name">The model's.</param>
/// <param name="Version">Its version; null where there is none.</param>
/// <param name="CreatedAt">Null where it is not known: the same files then give the same artifact.</param>
/// <param name="Config">Its config.json; null of a GGUF file.</param>
public sealed record PackedModel(string Name, string? Version, DateTimeOffset? CreatedAt, JsonObject? Config)
{
    /// <summary>Reads a config.json; null for what is not one: the artifact then says less of the model.</summary>
    public static async Task<JsonObject?> ReadConfigAsync(Stream json, CancellationToken cancellation)
    {
        try
        {
            return await JsonNode.ParseAsync(json, cancellationToken: cancellation) as JsonObject;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>A string of the configuration; null where something else stands there.</summary>
    internal string? Text(params ReadOnlySpan<string> path)
    {
        JsonNode? node = Config;
        foreach (var name in path)
            node = (node as JsonObject)?[name];
        return node is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;
    }
}

/// <summary>
/// Models as OCI artifacts by the CNCF's ModelPack specification: a manifest, a configuration, and a layer for each file as it is, so that registries store a file
/// once and container runtimes can mount it.
/// </summary>
/// <param name="ManifestJson">The manifest.</param>
/// <param name="ConfigJson">What the manifest's config refers to.</param>
public sealed record ModelPack(ReadOnlyMemory<byte> ManifestJson, ReadOnlyMemory<byte> ConfigJson)
{
    public const string Manifest = "application/vnd.oci.image.manifest.v1+json";
    public const string ArtifactType = "application/vnd.cncf.model.manifest.v1+json";
    public const string ConfigType = "application/vnd.cncf.model.config.v1+json";
    public const string Weight = "application/vnd.cncf.model.weight.v1.raw";
    public const string WeightConfig = "application/vnd.cncf.model.weight.config.v1.raw";
    public const string Document = "application/vnd.cncf.model.doc.v1.raw";
    public const string FilePath = "org.cncf.model.filepath";
    private static readonly string[] s_weights = [".safetensors", ".gguf"];
    private static readonly string[] s_documents = ["LICENSE", "NOTICE", "README"];
    private static readonly JsonSerializerOptions s_json = new(JsonSerializerDefaults.Web);

    public static ModelPack Of(PackedModel model, IReadOnlyCollection<PackedFile> files)
    {
        var sorted = files.OrderBy(file => file.Name, StringComparer.Ordinal).ToList();
        var config = Bytes(new JsonObject
        {
            ["descriptor"] = Known(("createdAt", model.CreatedAt?.ToString("O")), ("family", model.Text("model_type")), ("name", model.Name), ("version", model.Version)),
            ["config"] = Known(
                ("architecture", "transformer"), ("format", sorted.Exists(file => file.Name.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase)) ? "gguf" : "safetensors"),
                ("quantization", model.Text("quantization_config", "quant_method"))),
            ["modelfs"] = new JsonObject
            {
                ["type"] = "layers",
                ["diffIds"] = new JsonArray([.. sorted.Select(file => (JsonNode)$"sha256:{file.Digest}")]),
            },
        });
        var manifest = Bytes(new JsonObject
        {
            ["schemaVersion"] = 2,
            ["mediaType"] = Manifest,
            ["artifactType"] = ArtifactType,
            ["config"] = Descriptor(ConfigType, Digest.Of(config), config.Length),
            ["layers"] = new JsonArray([.. sorted.Select(Layer)]),
            ["annotations"] = Known(
                ("org.opencontainers.image.created", model.CreatedAt?.ToString("O")), ("org.opencontainers.image.title", model.Name), ("org.opencontainers.image.version", model.Version)),
        });
        return new(manifest, config);
    }

    /// <summary>The files of a manifest.</summary>
    /// <exception cref="InvalidInputException">It is not a model, or has layers or names that cannot be used.</exception>
    public static IReadOnlyList<PackedFile> FilesOf(ReadOnlySpan<byte> manifest, string source)
    {
        try
        {
            var json = JsonNode.Parse(manifest)!;
            if ((string?)json["artifactType"] != ArtifactType && (string?)json["config"]?["mediaType"] != ConfigType)
                throw new InvalidInputException($"{source} is not a model (its type is {(string?)json["artifactType"] ?? (string?)json["config"]?["mediaType"] ?? "unknown"})", $"give an artifact of the type {ArtifactType}");
            var files = json["layers"]!.AsArray().Select(layer => FileOf(layer!, source)).ToList();
            FileNames.ThrowIfFolder(files.Select(file => file.Name));
            return files.Count == 0 ? throw new InvalidInputException($"{source} has no files") : files.DistinctBy(file => file.Name).Count() == files.Count ? files
                : throw new InvalidInputException($"{source} names a file twice");
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or FormatException or NullReferenceException or ArtifactStoreException)
        {
            throw new InvalidInputException($"{source} has a manifest that cannot be read: {error.Message}", error);
        }
    }

    private static PackedFile FileOf(JsonNode layer, string source)
    {
        var type = (string?)layer["mediaType"] ?? "";
        var name = (string?)layer["annotations"]?[FilePath] ?? (string?)layer["annotations"]?["org.opencontainers.image.title"];
        if (!type.EndsWith(".raw", StringComparison.Ordinal))
            throw new InvalidInputException($"{source} has a layer of the type {type}", "only files as they are (.raw) can be read: pack the model without archives");
        if (name is null)
            throw new InvalidInputException($"{source} has a layer without the annotation {FilePath}");
        FileNames.ThrowIfInvalid(name);
        var (digest, size) = ((string)layer["digest"]!, (long)layer["size"]!);
        return digest.StartsWith("sha256:", StringComparison.Ordinal) && size >= 0 ? new(name, Digest.Parse(digest["sha256:".Length..]), size)
            : throw new InvalidInputException($"{source} has the digest {digest}, of which only sha256 can be read");
    }

    private static JsonNode Layer(PackedFile file)
    {
        var layer = Descriptor(TypeOf(file.Name), file.Digest, file.Size);
        layer["annotations"] = new JsonObject { [FilePath] = file.Name };
        return layer;
    }

    private static string TypeOf(string name) =>
        s_weights.Any(ending => name.EndsWith(ending, StringComparison.OrdinalIgnoreCase)) ? Weight
        : name.EndsWith(".md", StringComparison.OrdinalIgnoreCase) || s_documents.Any(start => name.StartsWith(start, StringComparison.OrdinalIgnoreCase)) ? Document
        : WeightConfig;

    private static JsonObject Descriptor(string type, Digest digest, long size) => new() { ["mediaType"] = type, ["digest"] = $"sha256:{digest}", ["size"] = size };

    private static JsonObject Known(params (string Name, string? Value)[] members)
    {
        var json = new JsonObject();
        foreach (var (name, value) in members.Where(member => member.Value is not null))
            json[name] = value;
        return json;
    }

    private static byte[] Bytes(JsonObject json) => Encoding.UTF8.GetBytes(json.ToJsonString(s_json));
}
