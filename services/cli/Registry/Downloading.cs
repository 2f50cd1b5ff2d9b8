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
    public static Task RunAsync(
        IRegistryApi registry, VersionView version, string output, bool force, Action<double, double, string> report, CancellationToken cancel) =>
        IntoAsync(output, version.Manifest, force, error => error is RegistryLostException, work => SaveAsync(registry, version, work, report, cancel));

    /// <summary>Makes a folder of files that are downloaded into a hidden one beside it; the next download of the same finds what has arrived.</summary>
    /// <param name="output">The folder to create.</param>
    /// <param name="digest">Of what is downloaded.</param>
    /// <param name="force">Replace one that is there.</param>
    /// <param name="isKept">Whether what has arrived stays after an error.</param>
    /// <param name="save">Brings the files to the hidden folder, where some or the beginnings of some may be.</param>
    /// <returns>The folder's path.</returns>
    public static async Task<string> IntoAsync(string output, string digest, bool force, Func<Exception, bool> isKept, Func<string, Task> save)
    {
        var target = Path.TrimEndingDirectorySeparator(Path.GetFullPath(output));
        var work = Path.Combine(Path.GetDirectoryName(target)!, $".{Path.GetFileName(target)}.{digest[..12]}.partial");
        using var writer = ModelFolderWriter.Create(output, force, work, resume: true);
        writer.IsKept = true;
        using (Hold(work, output))
        {
            try
            {
                await save(work);
            }
            catch (Exception error)
            {
                writer.IsKept = isKept(error);
                throw;
            }
        }
        writer.Commit();
        return target;
    }

    /// <summary>Keeps other downloads out of the folder.</summary>
    private static FileStream Hold(string work, string output)
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
