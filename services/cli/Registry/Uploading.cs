using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Models;

namespace Qbb.Cli.Registry;

/// <summary>Sends a model's files to a registry; those that it has already are passed over.</summary>
internal static class Uploading
{
    /// <param name="client">The registry.</param>
    /// <param name="model">A Hugging Face folder, or a GGUF file.</param>
    /// <param name="report">Told of (bytes done, bytes in all, the file at hand).</param>
    /// <param name="cancel">Stops in the middle of a file.</param>
    /// <returns>What a version is made of.</returns>
    public static async Task<JsonArray> RunAsync(RegistryClient client, string model, Action<double, double, string> report, CancellationToken cancel)
    {
        var files = FilesOf(model);
        var total = files.Sum(file => new FileInfo(file.Path).Length);
        var done = 0L;
        var entries = new JsonArray();
        foreach (var (name, path) in files)
        {
            await using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 0, FileOptions.SequentialScan);
            var digest = Digest.FromHash(await SHA256.HashDataAsync(stream, cancel));
            if (!await client.HasBlobAsync(digest, cancel))
            {
                stream.Position = 0;
                var before = done;
                await client.PutBlobAsync(digest, new CountingStream(stream, count => report(before + count, total, name)), cancel);
            }
            done += stream.CanSeek ? stream.Length : new FileInfo(path).Length;
            report(done, total, name);
            entries.Add(new JsonObject { ["name"] = name, ["digest"] = digest.Value, ["size"] = new FileInfo(path).Length });
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
