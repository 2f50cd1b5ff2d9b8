using System.Text.Json;

namespace Qbb.Checkpoints;

/// <summary>
/// The record of which files of a folder qbb wrote: a hidden file in that folder. <c>--force</c> replaces recorded files and never
/// deletes another; a folder without a record is another program's, or a person's.
/// </summary>
public static class WrittenFiles
{
    public const string RecordName = ".qbb-files.json";

    /// <summary>Begins the name of a cache of weights in the order of a processor's kernels, which goes with the model.</summary>
    public const string KernelCachePrefix = ".qbb-kernels-";

    private const string Unfinished = ".partial";

    /// <summary>Refuses, before any work is done, a target that must not be replaced.</summary>
    /// <param name="path">The folder to write.</param>
    /// <param name="force">Whether files that qbb wrote may be replaced.</param>
    /// <param name="source">What the target is made from, and must not replace.</param>
    /// <exception cref="InvalidInputException">The target is a file, or a folder with files: without <paramref name="force"/> any, with it
    /// any that qbb did not write.</exception>
    public static void CheckTarget(string path, bool force, string? source = null)
    {
        var target = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        if (Path.GetFileName(target).Length == 0)
            throw new InvalidInputException($"{path} cannot be replaced", "give the output a name");
        if (source is not null && $"{Path.TrimEndingDirectorySeparator(Path.GetFullPath(source))}/".StartsWith($"{target}/", StringComparison.Ordinal))
            throw new InvalidInputException($"{path}: the output would replace its source {source}", "choose another folder");
        if (File.Exists(path))
            throw new InvalidInputException($"{path} is a file", "choose the name of a folder");
        if (!Directory.Exists(path))
            return;
        try
        {
            if (!force && Directory.EnumerateFileSystemEntries(path).Any())
                throw new InvalidInputException($"{path} exists", "choose another output, or replace it with --force");
            if (force && FirstForeign(path) is { } foreign)
            {
                throw new InvalidInputException($"{path} contains {foreign}, which qbb did not write or which changed since, and --force keeps such files",
                    "choose another output, or move that file away");
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"{path} cannot be read: {error.Message}", "choose another output", error);
        }
    }

    /// <summary>Records files of a folder as qbb's.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="names">Those that are or will be written, of any size; null for all that are there, as they are.</param>
    public static void Record(string folder, IEnumerable<string>? names = null)
    {
        File.Delete(Path.Combine(folder, RecordName));
        var files = names?.ToDictionary(name => name, _ => (long?)null) ?? FilesOf(folder).ToDictionary(file => file, file => (long?)Length(folder, file));
        var json = JsonSerializer.Serialize(new SortedDictionary<string, long?>(files, StringComparer.Ordinal));
        File.WriteAllText(Path.Combine(folder, RecordName), json + "\n");
    }

    /// <summary>Whether qbb recorded what it wrote there.</summary>
    public static bool IsRecorded(string folder) => File.Exists(Path.Combine(folder, RecordName));

    /// <summary>Deletes the recorded files and the record, and the folder if nothing else is in it.</summary>
    public static void Remove(string folder)
    {
        var recorded = Read(folder);
        foreach (var file in FilesOf(folder).Where(file => IsRecorded(recorded, folder, file)).ToList())
            File.Delete(Path.Combine(folder, file));
        foreach (var inner in Directory.EnumerateDirectories(folder, "*", SearchOption.AllDirectories).OrderByDescending(name => name.Length).ToList())
            DeleteIfEmpty(inner);
        File.Delete(Path.Combine(folder, RecordName));
        DeleteIfEmpty(folder);
    }

    /// <summary>The first file that qbb did not write or that changed since; null if there is none.</summary>
    private static string? FirstForeign(string folder)
    {
        // Without a record the first name will do: the folder may be somebody's home.
        if (!IsRecorded(folder))
            return Directory.EnumerateFileSystemEntries(folder).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal).FirstOrDefault();
        var recorded = Read(folder);
        return FilesOf(folder).Order(StringComparer.Ordinal).FirstOrDefault(file => file != RecordName && !IsRecorded(recorded, folder, file));
    }

    private static bool IsRecorded(Dictionary<string, long?> recorded, string folder, string file) => recorded.TryGetValue(file, out var bytes)
        ? bytes is null || bytes == Length(folder, file)
        : file.StartsWith(KernelCachePrefix, StringComparison.Ordinal) || file.EndsWith(Unfinished, StringComparison.Ordinal) && recorded.ContainsKey(file[..^Unfinished.Length]);

    private static Dictionary<string, long?> Read(string folder)
    {
        try
        {
            return IsRecorded(folder) ? JsonSerializer.Deserialize<Dictionary<string, long?>>(File.ReadAllText(Path.Combine(folder, RecordName))) ?? [] : [];
        }
        catch (JsonException)
        {
            return [];
        }
    }

    private static IEnumerable<string> FilesOf(string folder) =>
        Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Select(path => Path.GetRelativePath(folder, path).Replace(Path.DirectorySeparatorChar, '/'));

    private static long Length(string folder, string file) => new FileInfo(Path.Combine(folder, file)).Length;

    private static void DeleteIfEmpty(string folder)
    {
        if (!Directory.EnumerateFileSystemEntries(folder).Any())
            Directory.Delete(folder);
    }
}
