using System.Text.Json.Nodes;
using Qbb.Models.Checkpoints;

namespace Qbb.Models;

/// <summary>
/// A model as the user gave it, opened but not read: the configuration in Hugging Face's terms, the tensors under
/// Hugging Face's names, and where the tokenizer is.
/// </summary>
public sealed class ModelSource : IDisposable
{
    public const string HuggingFace = "huggingface";

    private ModelSource(string path, string format, JsonObject config, ITensorSource tensors, IReadOnlyList<string> files) =>
        (Path, Format, ConfigJson, Tensors, Files) = (path, format, config, tensors, files);

    /// <summary>The folder or file.</summary>
    public string Path { get; }

    /// <summary><see cref="HuggingFace"/>.</summary>
    public string Format { get; }

    /// <summary>The content of <c>config.json</c>.</summary>
    public JsonObject ConfigJson { get; }

    /// <summary>The weights.</summary>
    public ITensorSource Tensors { get; }

    /// <summary>The folder's <c>tokenizer.json</c>; null where it has none.</summary>
    public string? TokenizerJsonPath { get; private init; }

    /// <summary>The files that hold the configuration and the weights.</summary>
    public IReadOnlyList<string> Files { get; }

    /// <param name="path">A Hugging Face folder.</param>
    /// <exception cref="InvalidInputException">It is none of these, or something is missing or damaged; the message says what.</exception>
    public static ModelSource Open(string path)
    {
        if (File.Exists(path))
            throw new InvalidInputException($"{path}: is a file; give the folder of a model");
        if (!Directory.Exists(path))
            throw new InvalidInputException($"{path}: no such file or folder");
        return OpenFolder(path);
    }

    /// <inheritdoc/>
    public void Dispose() => Tensors.Dispose();

    private static ModelSource OpenFolder(string folder)
    {
        var config = System.IO.Path.Combine(folder, ConfigFile.Name);
        if (!File.Exists(config))
            throw new InvalidInputException($"{folder}: has no {ConfigFile.Name}; a model folder has {ConfigFile.Name}, {SafetensorsFolder.SingleName} (or shards with an index) and tokenizer.json");
        var tokenizer = System.IO.Path.Combine(folder, "tokenizer.json");
        var json = ConfigFile.Read(config);
        var tensors = SafetensorsFolder.Open(folder);
        var weights = tensors is SafetensorsShards shards ? shards.Files : [((SafetensorsFile)tensors).Path];
        return new(folder, HuggingFace, json, tensors, [config, .. weights])
        {
            TokenizerJsonPath = File.Exists(tokenizer) ? tokenizer : null,
        };
    }
}
