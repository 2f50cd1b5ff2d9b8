using System.Security.Cryptography;
using Qbb.Artifacts;
using Qbb.Checkpoints;

namespace Qbb.Cli.Registry;

/// <summary>Brings a version's files from a registry into a folder, which appears whole or not at all.</summary>
internal static class Downloading
{
    private const string Lock = ".lock";

    /// <param name="registry">The registry.</param>
    /// <param name="version">The version, with its files.</param>
    /// <param name="output">The folder to create.</param>
    /// <param name="force">Replace one that is there.</param>
    /// <param name="report">Told of (bytes done, bytes in all, the current file).</param>
    /// <param name="cancel">Stops in the middle of a file.</param>
    /// <exception cref="InvalidInputException">A file arrives damaged, or the folder cannot be written; nothing stays behind.</exception>
    /// <exception cref="RegistryLostException">What arrived stays in a hidden folder beside the output, for the next download of the same version.</exception>
    public static async Task RunAsync(
        IRegistryApi registry, VersionView version, string output, bool force, Action<double, double, string> report, CancellationToken cancel)
    {
        var target = Path.TrimEndingDirectorySeparator(Path.GetFullPath(output));
        var work = Path.Combine(Path.GetDirectoryName(target)!, $".{Path.GetFileName(target)}.{version.Manifest[..12]}.partial");
        using var writer = ModelFolderWriter.Create(output, force, work, resume: true);
        writer.IsKept = true;
        using (Hold(work, output))
        {
            try
            {
                await SaveAsync(registry, version, work, report, cancel);
            }
            catch (Exception error)
            {
                writer.IsKept = error is RegistryLostException;
                throw;
            }
        }
        writer.Commit();
    }

    /// <summary>Keeps other downloads out of the folder.</summary>
    internal static FileStream Hold(string work, string output)
    {
        try
        {
            return new FileStream(Path.Combine(work, Lock), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 0, FileOptions.DeleteOnClose);
        }
        catch (IOException error)
        {
            throw new InvalidInputException($"{output} is being downloaded already ({error.Message})", "wait for that download, or choose another output", error);
        }
    }

    private static async Task SaveAsync(IRegistryApi registry, VersionView version, string work, Action<double, double, string> report, CancellationToken cancel)
    {
        var files = version.Files ?? [];
        var (before, total) = (0L, files.Sum(file => file.Size));
        foreach (var file in files)
        {
            if (FileNames.ProblemOf(file.Name) is { } problem)
                throw new InvalidInputException($"the registry names a file that is not allowed: {problem}");
            var path = Path.Combine(work, file.Name);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            await using var saved = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 0);
            saved.Seek(0, SeekOrigin.End);
            await registry.CopyFileAsync(version.Model, $"{version.Version}", file, saved, saved.Position, done => report(before + done, total, file.Name), cancel);
            saved.Position = 0;
            if (Digest.FromHash(await SHA256.HashDataAsync(saved, cancel)) != file.Digest)
                throw new InvalidInputException($"{file.Name} arrived damaged: its digest is not {file.Digest}", "try again");
            before += file.Size;
        }
    }
}
