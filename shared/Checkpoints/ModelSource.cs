using System.Text.Json.Nodes;

namespace Qbb.Checkpoints;

/// <summary>
/// A model as the user gave it, opened but not read: the configuration in Hugging Face's terms, the tensors under
/// Hugging Face's names, and where the tokenizer is.
/// </summary>
public sealed class ModelSource : IDisposable
{
    public const string HuggingFace = "huggingface";
    public const string Gguf = "gguf";

    public const string TokenizerFile = "tokenizer.json";

    private ModelSource(string path, string format, JsonObject config, ITensorSource tensors, IReadOnlyList<string> files) =>
        (Path, Format, ConfigJson, Tensors, Files) = (path, format, config, tensors, files);

    /// <summary>The folder or file as it was given.</summary>
    public string Path { get; }

    /// <summary><see cref="HuggingFace"/> or <see cref="Gguf"/>.</summary>
    public string Format { get; }

    /// <summary>The content of <c>config.json</c>; for GGUF what it would be, made from the metadata.</summary>
    public JsonObject ConfigJson { get; }

    /// <summary>The weights.</summary>
    public ITensorSource Tensors { get; }

    /// <summary>The tensors as they are in the files: those of <see cref="Tensors"/> unless some of these are expanded.</summary>
    public ITensorSource StoredTensors => Tensors switch
    {
        QuantizedTensors quantized => quantized.Stored,
        PackedTensors packed => packed.Stored,
        _ => Tensors,
    };

    /// <summary>How another program packed the linear layers; null for plain weights and those of qbb.</summary>
    public PackedFormat? Packed { get; private init; }

    /// <summary>The folder's <c>tokenizer.json</c>; null where it has none, and for GGUF, which has its tokenizer in the
    /// metadata.</summary>
    public string? TokenizerJsonPath { get; private init; }

    /// <summary>The metadata of a GGUF file as <see cref="GgufFile.Metadata"/> describes them; null for a Hugging Face folder.</summary>
    public IReadOnlyDictionary<string, object>? GgufMetadata { get; private init; }

    /// <summary>The files that hold the configuration and the weights, in a fixed order.</summary>
    public IReadOnlyList<string> Files { get; }

    /// <summary>Bytes of <see cref="Files"/>; where they are links, of what they lead to.</summary>
    public long FileBytes => Files.Sum(MappedFile.FileLength);

    /// <summary>Bytes of other files of the folder; where they are links, of what they lead to.</summary>
    public long BytesOf(IEnumerable<string> names) => names.Sum(name => MappedFile.FileLength(System.IO.Path.Combine(Path, name)));

    /// <param name="path">A Hugging Face folder, a GGUF file, or a folder with one GGUF file and no model in safetensors.</param>
    /// <exception cref="InvalidInputException">It is none of these, or something is missing or damaged; the message says what.</exception>
    public static ModelSource Open(string path)
    {
        if (Directory.Exists(path))
            return Folders.Guard(path, () => OpenFolder(path));
        if (!File.Exists(path))
            throw new InvalidInputException($"{path}: no such file or folder");
        PickleFiles.Refuse(path);
        if (System.IO.Path.GetExtension(path).Equals(".safetensors", StringComparison.OrdinalIgnoreCase))
            throw new InvalidInputException($"{path}: holds weights only", $"give its folder, which has {ConfigFile.Name} too");
        return OpenGguf(path, path);
    }

    /// <inheritdoc/>
    public void Dispose() => Tensors.Dispose();

    private static ModelSource OpenFolder(string folder)
    {
        var config = System.IO.Path.Combine(folder, ConfigFile.Name);
        // Folders of GGUF files often carry the config.json of the model they were made of.
        var isWhole = File.Exists(config) && SafetensorsFolder.HasWeights(folder);
        if (!isWhole && Folders.SingleGguf(folder) is { } gguf)
            return OpenGguf(folder, gguf);
        if (!File.Exists(config))
            throw NoModel(folder);
        var tokenizer = System.IO.Path.Combine(folder, TokenizerFile);
        var json = ConfigFile.Read(config);
        var quantization = QbbFormat.Read(json, config);
        var form = quantization is null ? null : QbbFormat.Embedding(quantization, config);
        var tensors = SafetensorsFolder.Open(folder);
        var weights = tensors is SafetensorsShards shards ? shards.Files : [((SafetensorsFile)tensors).Path];
        try
        {
            var (packed, settings) = quantization is null && PackedFormat.FirstIn(tensors) is { } first ? PackedBy(folder, json, config, first) : (null, null);
            ITensorSource expanded = form is not null ? new QuantizedTensors(tensors, form) : packed is not null ? new PackedTensors(tensors, packed) : tensors;
            return new(folder, HuggingFace, json, expanded, [config, .. settings is null ? Array.Empty<string>() : [settings], .. weights])
            {
                TokenizerJsonPath = File.Exists(tokenizer) ? tokenizer : null,
                Packed = packed,
            };
        }
        catch
        {
            tensors.Dispose();
            throw;
        }
    }

    /// <summary>What config.json says of packed weights, or, as older programs wrote it, a file of its own, whose content the configuration then gets.</summary>
    private static (PackedFormat? Format, string? Settings) PackedBy(string folder, JsonObject json, string config, string first)
    {
        if (json["quantization_config"] is not null)
            return (PackedFormat.Read(json, config), null);
        var settings = System.IO.Path.Combine(folder, PackedFormat.SettingsFile);
        if (!File.Exists(settings))
            throw new InvalidInputException($"{folder}: {first} is packed, and nothing tells how: {ConfigFile.Name} has no quantization_config", $"add {PackedFormat.SettingsFile} of the same model, or take the original");
        var quantization = ConfigFile.Read(settings);
        quantization["quant_method"] ??= "gptq";
        json["quantization_config"] = quantization;
        return (PackedFormat.Read(json, settings), settings);
    }

    private static ModelSource OpenGguf(string path, string filePath)
    {
        var file = GgufFile.Open(filePath);
        try
        {
            return new(path, Gguf, GgufConfig.FromGguf(file), GgufTensors.Create(file), file.Files) { GgufMetadata = file.Metadata };
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private static InvalidInputException NoModel(string folder)
    {
        if (!SafetensorsFolder.HasWeights(folder))
            PickleFiles.RefuseFolder(folder);
        string[] missing = SafetensorsFolder.HasWeights(folder)
            ? [ConfigFile.Name]
            : [ConfigFile.Name, $"{SafetensorsFolder.SingleName} (or shards with {SafetensorsFolder.IndexName})"];
        return new($"{folder} is not a model folder: it lacks {string.Join(" and ", missing)}; give a Hugging Face folder with these and "
            + "tokenizer.json, or a GGUF file");
    }
}
