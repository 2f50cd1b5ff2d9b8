using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Qbb.Artifacts;
using Qbb.Checkpoints;
using Qbb.Models;

namespace Qbb.Cli.Registry;

/// <summary>Brings a version's files from a registry into a folder, which appears whole or not at all.</summary>
internal static class Downloading
{
    /// <param name="client">The registry.</param>
    /// <param name="version">The version, as the registry describes it.</param>
    /// <param name="output">The folder to make.</param>
    /// <param name="force">Replace one that is there.</param>
    /// <param name="report">Told of (bytes done, bytes in all, the file at hand).</param>
    /// <param name="cancel">Stops in the middle of a file.</param>
    /// <exception cref="InvalidInputException">A file arrives damaged, or the folder cannot be written; nothing stays behind.</exception>
    public static async Task RunAsync(
        RegistryClient client, JsonObject version, string output, bool force, Action<double, double, string> report, CancellationToken cancel)
    {
        var files = version["files"]!.AsArray().Select(file => (
            Name: file!["name"]!.ToString(), Digest: Digest.Parse(file["digest"]!.ToString()), Size: file["size"]!.GetValue<long>())).ToList();
        var target = Path.TrimEndingDirectorySeparator(Path.GetFullPath(output));
        var work = Path.Combine(Path.GetDirectoryName(target)!, $".{Path.GetFileName(target)}.{Guid.NewGuid():N}.partial");
        using var writer = ModelFolderWriter.Create(output, force, work);
        var (done, total) = (0L, files.Sum(file => file.Size));
        foreach (var (name, digest, size) in files)
        {
            if (FileNames.ProblemOf(name) is { } problem)
                throw new InvalidInputException($"the registry names a file that is not allowed: {problem}");
            var path = Path.Combine(work, name);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            var before = done;
            await DownloadAsync(client, version, name, digest, path, count => report(before + count, total, name), cancel);
            done += size;
        }
        writer.Commit();
    }

    private static async Task DownloadAsync(
        RegistryClient client, JsonObject version, string name, Digest digest, string path, Action<long> report, CancellationToken cancel)
    {
        var place = $"api/models/{version["model"]}/versions/{version["version"]}/files/{string.Join('/', name.Split('/').Select(Uri.EscapeDataString))}";
        using var answer = await client.DownloadAsync(place, cancel);
        await using var content = new CountingStream(await answer.Content.ReadAsStreamAsync(cancel), report);
        await using (var file = new FileStream(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 0))
        {
            await content.CopyToAsync(file, 1 << 20, cancel);
            file.Position = 0;
            if (Digest.FromHash(await SHA256.HashDataAsync(file, cancel)) == digest)
                return;
        }
        throw new InvalidInputException($"{name} arrived damaged: its digest is not {digest}; try again");
    }
}
