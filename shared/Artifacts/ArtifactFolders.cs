using System.Collections.Concurrent;
using Qbb.Contracts;

namespace Qbb.Artifacts;

/// <summary>Folders of files as manifests in a store, and back.</summary>
public static class ArtifactFolders
{
    /// <summary>Files that are on their way at once: hashing takes a core each, and a disk flushes several in the time of one.</summary>
    private const int AtOnce = 4;

    /// <summary>Puts every file of a folder, then its manifest.</summary>
    /// <param name="store">The store.</param>
    /// <param name="folder">Its files; those whose names begin with a dot are passed over.</param>
    /// <param name="cancellation">Stops between files.</param>
    public static async Task<ArtifactManifest> StoreAsync(IArtifactStore store, string folder, CancellationToken cancellation = default)
    {
        var files = new ConcurrentDictionary<string, ManifestEntry>(StringComparer.Ordinal);
        var paths = Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal);
        var options = new ParallelOptions { MaxDegreeOfParallelism = Math.Min(AtOnce, Environment.ProcessorCount), CancellationToken = cancellation };
        await Parallel.ForEachAsync(paths, options, async (path, stop) =>
        {
            var name = Path.GetRelativePath(folder, path).Replace(Path.DirectorySeparatorChar, '/');
            if (name.Split('/').Any(part => part.StartsWith('.')))
                return;
            await using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 0, FileOptions.SequentialScan);
            var blob = await store.PutAsync(stream, cancellation: stop);
            files[name] = new ManifestEntry(blob.Digest, blob.Size);
        });
        var manifest = new ArtifactManifest(files);
        await manifest.PutAsync(store, cancellation);
        return manifest;
    }

    /// <summary>Marks a manifest and all its files as used now; false where one of them is gone.</summary>
    public static async Task<bool> KeepAsync(IArtifactStore store, Digest manifest, CancellationToken cancellation = default)
    {
        if (!await store.KeepAsync(manifest, cancellation))
            return false;
        foreach (var file in (await ArtifactManifest.ReadAsync(store, manifest, cancellation)).Files.Values)
        {
            if (!await store.KeepAsync(file.Digest, cancellation))
                return false;
        }
        return true;
    }
}
