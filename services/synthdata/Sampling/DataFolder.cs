using Qbb.Checkpoints;
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
    /// <param name="force">Replace data of another origin, where there is nothing but what qbb wrote.</param>
    /// <exception cref="InvalidInputException">It holds something else, cannot be written, or is being written.</exception>
    public static DataFolder Open(string path, SamplingOrigin origin, bool force)
    {
        if (File.Exists(path))
            WrittenFiles.CheckTarget(path, force);
        var isNew = !Directory.Exists(path);
        try
        {
            if (!isNew && !IsData(path))
                WrittenFiles.CheckTarget(path, force: true);
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
            var shards = Enumerable.Range(0, origin.Options.Shards).Select(ShardFile.NameOf);
            WrittenFiles.Record(path, [.. shards, DataManifest.FileName, LockName]);
            return folder;
        }
        catch
        {
            folder.Dispose();
            throw;
        }
    }

    public string ShardPath(int shard) => System.IO.Path.Combine(Path, ShardFile.NameOf(shard));

    /// <summary>The manifest of an earlier run that finished; null if there is none.</summary>
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
        if (_isNew && Directory.EnumerateFiles(Path).All(file => System.IO.Path.GetFileName(file) == WrittenFiles.RecordName))
            WrittenFiles.Remove(Path);
    }

    /// <summary>Whether qbb wrote there before; a worker's folder has shards of other units and no record.</summary>
    private static bool IsData(string path) => WrittenFiles.IsRecorded(path)
        || Directory.EnumerateFileSystemEntries(path).All(entry => System.IO.Path.GetFileName(entry) == LockName || SampledShard.OriginOf(entry) is not null);

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
                $"{Path} holds data that were made otherwise ({difference})", "give the same options to continue, choose another folder, or replace the data with --force");
        WrittenFiles.CheckTarget(Path, force);
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
