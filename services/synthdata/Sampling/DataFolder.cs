using Qbb.Models;
using Qbb.Synthdata.Data;
using Qbb.Workers.Data;

namespace Qbb.Synthdata.Sampling;

/// <summary>A folder that a run of sampling writes, held against other processes while it does.</summary>
internal sealed class DataFolder : IDisposable
{
    private const string LockName = ".lock";

    private readonly FileStream _lock;
    private readonly bool _isNew;

    private DataFolder(string path, bool isNew, FileStream held) => (Path, _isNew, _lock) = (path, isNew, held);

    public string Path { get; }

    private string ManifestPath => System.IO.Path.Combine(Path, DataManifest.FileName);

    /// <summary>Makes or opens the folder for data of one origin.</summary>
    /// <param name="path">The folder.</param>
    /// <param name="origin">Of the data that it is to hold.</param>
    /// <param name="force">Remove data of another origin, and nothing else.</param>
    /// <exception cref="InvalidInputException">It holds something else, cannot be written, or is being written.</exception>
    public static DataFolder Open(string path, SamplingOrigin origin, bool force)
    {
        if (File.Exists(path))
            throw new InvalidInputException($"{path} is a file; choose the name of a folder");
        var isNew = !Directory.Exists(path);
        try
        {
            if (!isNew && !IsData(path))
                throw new InvalidInputException($"{path} holds other files; choose another folder for the data");
            Directory.CreateDirectory(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"{path}: cannot be written: {e.Message}", e);
        }
        var folder = new DataFolder(path, isNew, Hold(path));
        try
        {
            folder.Clear(origin, force);
            return folder;
        }
        catch
        {
            folder.Dispose();
            throw;
        }
    }

    public string ShardPath(int shard) => System.IO.Path.Combine(Path, ShardFile.NameOf(shard));

    /// <summary>The manifest of an earlier run that finished; null where there is none.</summary>
    public DataManifest? TryReadManifest() => File.Exists(ManifestPath) ? DataManifest.Read(ManifestPath).Manifest : null;

    /// <summary>Marks the data as not finished.</summary>
    public void RemoveManifest() => File.Delete(ManifestPath);

    /// <summary>Removes all data.</summary>
    public void RemoveData()
    {
        RemoveManifest();
        foreach (var file in ShardFile.In(Path).ToList())
            File.Delete(file);
    }

    /// <summary>Gives the folder free; one that was made for nothing goes.</summary>
    public void Dispose()
    {
        _lock.Dispose();
        if (_isNew && !Directory.EnumerateFileSystemEntries(Path).Any())
            Directory.Delete(Path);
    }

    private static bool IsData(string path) => File.Exists(System.IO.Path.Combine(path, DataManifest.FileName))
        || ShardFile.In(path).Any()
        || Directory.EnumerateFileSystemEntries(path).All(IsTemporary);

    /// <summary>What a killed run leaves besides shards.</summary>
    private static bool IsTemporary(string entry) =>
        entry.EndsWith(".partial", StringComparison.Ordinal) || System.IO.Path.GetFileName(entry) == LockName;

    private static FileStream Hold(string path)
    {
        try
        {
            var file = System.IO.Path.Combine(path, LockName);
            return new FileStream(file, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 1, FileOptions.DeleteOnClose);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException(
                $"{path}: another process is writing it, or it may not be written ({e.Message}); wait for that process, "
                + "or choose another folder", e);
        }
    }

    private void Clear(SamplingOrigin origin, bool force)
    {
        var difference = DifferenceFrom(origin);
        if (difference is null)
            return;
        if (!force)
            throw new InvalidInputException(
                $"{Path} holds data that were made otherwise ({difference}): give the same options to continue, choose another folder, "
                + "or replace the data with --force");
        RemoveData();
    }

    private string? DifferenceFrom(SamplingOrigin origin)
    {
        if (File.Exists(ManifestPath))
        {
            try
            {
                var manifest = DataManifest.Read(ManifestPath).Manifest;
                return manifest.Filter is not null ? "they are filtered"
                    : manifest.Origin.ToJson() != origin.ToJson() ? origin.DifferenceFrom(manifest.Origin.ToJson()) : null;
            }
            catch (InvalidInputException)
            {
                return "their manifest is damaged";
            }
        }
        var other = ShardFile.In(Path).Select(SampledShard.OriginOf).FirstOrDefault(found => found is not null && found != origin.ToJson());
        return other is null ? null : origin.DifferenceFrom(other);
    }
}
