using System.Security.Cryptography;
using Qbb.Checkpoints;

namespace Qbb.Cli.Registry;

/// <summary>Sends a model's files to a registry; those that it has already are passed over.</summary>
internal static class Uploading
{
    /// <param name="registry">The registry.</param>
    /// <param name="model">A Hugging Face folder, or a GGUF file.</param>
    /// <param name="report">Told of (bytes done, bytes in all, the current file).</param>
    /// <param name="cancel">Stops in the middle of a file.</param>
    /// <returns>What a version is made of.</returns>
    public static async Task<IReadOnlyList<FileEntry>> RunAsync(
        IRegistryApi registry, string model, Action<double, double, string> report, CancellationToken cancel)
    {
        var files = FilesOf(model);
        var total = files.Sum(file => new FileInfo(file.Path).Length);
        var done = 0L;
        var entries = new List<FileEntry>();
        foreach (var (name, path) in files)
        {
            await using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 0, FileOptions.SequentialScan);
            var digest = Digest.FromHash(await SHA256.HashDataAsync(stream, cancel));
            if (!await registry.HasBlobAsync(digest, cancel))
            {
                stream.Position = 0;
                var before = done;
                await registry.PutBlobAsync(digest, new FileContent(stream, count => report(before + count, total, name)), cancel);
            }
            done += stream.Length;
            report(done, total, name);
            entries.Add(new FileEntry(name, digest, stream.Length));
        }
        return entries;
    }

    /// <summary>The files that make the model, checked as far as opening it does.</summary>
    private static List<(string Name, string Path)> FilesOf(string model)
    {
        using var source = ModelSource.Open(model);
        if (!Directory.Exists(model) || source.Format == ModelSource.Gguf)
            return [.. source.Files.Select(file => (Path.GetFileName(file), file))];
        return [.. Directory.EnumerateFiles(model)
            .Where(file => !Path.GetFileName(file).StartsWith('.')).Order(StringComparer.Ordinal).Select(file => (Path.GetFileName(file), file))];
    }
}
