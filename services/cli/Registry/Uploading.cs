using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;

namespace Qbb.Cli.Registry;

/// <summary>Sends a model's files to a registry; those that it has already are passed over.</summary>
internal static class Uploading
{
    /// <param name="registry">The registry.</param>
    /// <param name="model">A Hugging Face folder, or a GGUF file.</param>
    /// <param name="quantize">Whether it is to be quantized: then it must be of a family that can be.</param>
    /// <param name="report">Told of (bytes done, bytes in all, the current file).</param>
    /// <param name="cancel">Stops in the middle of a file.</param>
    /// <returns>What a version is made of.</returns>
    public static async Task<IReadOnlyList<FileEntry>> RunAsync(
        IRegistryApi registry, string model, bool quantize, Action<double, double, string> report, CancellationToken cancel)
    {
        var files = Describe(model, quantize, cancel);
        var total = files.Sum(file => file.Entry.Size);
        var done = 0L;
        foreach (var (entry, path) in files)
        {
            if (!await registry.TryKeepBlobAsync(entry.Digest, cancel))
            {
                await using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 0, FileOptions.SequentialScan);
                var before = done;
                await registry.PutBlobAsync(entry.Digest, new FileContent(stream, count => report(before + count, total, entry.Name)), cancel);
            }
            report(done += entry.Size, total, entry.Name);
        }
        return [.. files.Select(file => file.Entry)];
    }

    /// <summary>The files that make a model, with their digests.</summary>
    public static IReadOnlyList<(FileEntry Entry, string Path)> Describe(string model, bool quantize, CancellationToken cancel)
    {
        var files = FilesOf(model, quantize);
        var hashes = FileHashes.Sha256([.. files.Select(file => file.Path)], cancel);
        return [.. files.Zip(hashes, (file, hash) => (new FileEntry(file.Name, Digest.FromHash(hash), Length(file.Path)), file.Path))];
    }

    /// <summary>The files that make the model; everything that headers tell of it is checked before the first byte is read.</summary>
    private static List<(string Name, string Path)> FilesOf(string model, bool quantize)
    {
        using var source = ModelSource.Open(model);
        // What another program quantized is stored, evaluated and served elsewhere.
        if (quantize && (source.ConfigJson["quantization_config"] is not JsonObject by || $"{by["quant_method"]}" == "qbb"))
            DecoderLayout.Resolve(DecoderConfig.FromJson(source.ConfigJson), source.Tensors);
        if (source.TokenizerJsonPath is not null || source.GgufMetadata is not null)
            source.LoadTokenizer();
        List<(string Name, string Path)> files = [.. source.Files.Select(file => (Path.GetFileName(file), file))];
        if (source.Format == ModelSource.Gguf)
            return files;
        files.AddRange(source.SideFiles().Select(name => (name, Path.Combine(model, name))));
        var others = Directory.EnumerateFiles(model).Select(file => Path.GetFileName(file)).Where(name => !name.StartsWith('.'))
            .Except(files.Select(file => file.Name)).Order(StringComparer.Ordinal).ToLookup(IsAboutTheModel);
        files.AddRange(others[true].Select(name => (name, Path.Combine(model, name))));
        if (others[false].Any())
            ModelWarnings.Report($"{model}: {string.Join(", ", others[false])}: no part of the model, not uploaded");
        return [.. files.OrderBy(file => file.Name, StringComparer.Ordinal)];
    }

    /// <summary>Cards, licences, and what qbb writes beside a model that it quantized.</summary>
    private static bool IsAboutTheModel(string name) =>
        name is "recipe.json" or "metrics.json" || name.EndsWith(".md", StringComparison.OrdinalIgnoreCase)
            || name.StartsWith("LICENSE", StringComparison.OrdinalIgnoreCase) || name.StartsWith("NOTICE", StringComparison.OrdinalIgnoreCase);

    /// <summary>Bytes of a file, or of what a link leads to.</summary>
    private static long Length(string path)
    {
        using var file = File.OpenHandle(path);
        return RandomAccess.GetLength(file);
    }
}
