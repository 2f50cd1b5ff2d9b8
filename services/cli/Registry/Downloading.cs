using System.Security.Cryptography;
using Qbb.Artifacts;
using Qbb.Checkpoints;

namespace Qbb.Cli.Registry;

/// <summary>Brings a version's files from a registry into a folder, which appears whole or not at all.</summary>
internal static class Downloading
{
    /// <param name="registry">The registry.</param>
    /// <param name="version">The version, with its files.</param>
    /// <param name="output">The folder to create.</param>
    /// <param name="force">Replace one that is there.</param>
    /// <param name="report">Told of (bytes done, bytes in all, the current file).</param>
    /// <param name="cancel">Stops in the middle of a file.</param>
    /// <exception cref="InvalidInputException">A file arrives damaged, or the folder cannot be written; nothing stays behind.</exception>
    public static async Task RunAsync(
        IRegistryApi registry, VersionView version, string output, bool force, Action<double, double, string> report, CancellationToken cancel)
    {
        var files = version.Files ?? [];
        var target = Path.TrimEndingDirectorySeparator(Path.GetFullPath(output));
        var work = Path.Combine(Path.GetDirectoryName(target)!, $".{Path.GetFileName(target)}.{Guid.NewGuid():N}.partial");
        using var writer = ModelFolderWriter.Create(output, force, work);
        var (done, total) = (0L, files.Sum(file => file.Size));
        foreach (var file in files)
        {
            if (FileNames.ProblemOf(file.Name) is { } problem)
                throw new InvalidInputException($"the registry names a file that is not allowed: {problem}");
            var path = Path.Combine(work, file.Name);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            var before = done;
            await using (var content = await registry.GetFileAsync(version.Model, $"{version.Version}", file.Name, cancel))
                await SaveAsync(content, file, path, count => report(before + count, total, file.Name), cancel);
            done += file.Size;
        }
        writer.Commit();
    }

    private static async Task SaveAsync(Stream content, FileEntry entry, string path, Action<long> report, CancellationToken cancel)
    {
        await using var file = new FileStream(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 0);
        await FileContent.CopyAsync(content, file, report, cancel);
        file.Position = 0;
        if (Digest.FromHash(await SHA256.HashDataAsync(file, cancel)) != entry.Digest)
            throw new InvalidInputException($"{entry.Name} arrived damaged: its digest is not {entry.Digest}", "try again");
    }
}
