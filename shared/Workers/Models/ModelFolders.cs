using Microsoft.Extensions.Options;
using Qbb.Artifacts;
using Qbb.Checkpoints;

namespace Qbb.Workers.Models;

/// <summary>
/// Manifests as folders of this machine. Files are links to those of the store or its cache, so laying out a model copies nothing. The folders
/// go with the process.
/// </summary>
public sealed class ModelFolders : IDisposable
{
    private const int MostOpen = 64;

    private readonly IArtifactStore _store;
    private readonly ILocalBlobs _blobs;
    private readonly FileStream _held;

    // The last one used is the last of the list; units run one at a time.
    private readonly List<Digest> _open = [];
    private readonly Dictionary<Digest, ArtifactManifest> _manifests = [];

    public ModelFolders(IArtifactStore store, ILocalBlobs blobs, IOptions<WorkerOptions> options)
    {
        (_store, _blobs) = (store, blobs);
        var all = Directory.CreateDirectory(options.Value.Folder).FullName;
        RemoveAbandoned(all);
        Root = Directory.CreateDirectory(Path.Combine(all, Guid.NewGuid().ToString("N"))).FullName;
        _held = Hold(Root);
    }

    /// <summary>This process's folder.</summary>
    public string Root { get; }

    /// <summary>A new, empty folder for work.</summary>
    public WorkPath NewFolder() => new(Directory.CreateDirectory(Path.Combine(Root, "work-" + Guid.NewGuid().ToString("N"))).FullName);

    /// <summary>The folder of a manifest, all files verified. It stays for this unit and some more; not to be written.</summary>
    /// <exception cref="ArtifactStoreException">A file is not there, or is damaged.</exception>
    public async Task<string> OpenAsync(Digest manifest, CancellationToken cancellation = default)
    {
        var folder = PathOf(manifest);
        if (_open.Remove(manifest))
        {
            _open.Add(manifest);
            return folder;
        }
        // Links keep the bytes of what the collector removed: old ones go.
        while (_open.Count >= MostOpen)
        {
            Directory.Delete(PathOf(_open[0]), recursive: true);
            _manifests.Remove(_open[0]);
            _open.RemoveAt(0);
        }
        using var partial = NewFolder();
        _manifests[manifest] = await LayOutAsync(manifest, partial.Path, cancellation);
        Directory.Move(partial.Path, folder);
        _open.Add(manifest);
        return folder;
    }

    /// <summary>Lays a manifest's files out in a folder.</summary>
    public async Task<ArtifactManifest> LayOutAsync(Digest manifest, string folder, CancellationToken cancellation = default)
    {
        var read = await ArtifactManifest.ReadAsync(_store, manifest, cancellation);
        foreach (var (name, entry) in read.Files)
        {
            var target = Path.Combine(folder, name);
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            await _blobs.LinkAsync(entry.Digest, target, cancellation);
        }
        return read;
    }

    /// <summary>The <see cref="ModelDigest"/> of a model in a manifest's folder. It follows from the manifest's own digests: no file is read again.</summary>
    /// <param name="manifest">Of a folder that is open.</param>
    /// <param name="model">The model, opened from there.</param>
    public string DigestOf(Digest manifest, ModelSource model)
    {
        var files = _manifests[manifest].Files;
        return ModelDigest.Of(model, model.Files.Select(file =>
            Convert.FromHexString(files[Path.GetRelativePath(model.Path, file).Replace(Path.DirectorySeparatorChar, '/')].Digest.Value)));
    }

    /// <summary>The <see cref="ModelDigest"/> of a model that is not opened yet.</summary>
    public async Task<string> ModelDigestAsync(Digest manifest, CancellationToken cancellation = default)
    {
        using var model = ModelSource.Open(await OpenAsync(manifest, cancellation));
        return DigestOf(manifest, model);
    }

    /// <summary>Text of a blob, such as a part of a recipe.</summary>
    public async Task<string> ReadTextAsync(Digest blob, CancellationToken cancellation = default)
    {
        await using var stream = await _store.OpenReadAsync(blob, cancellation: cancellation);
        using var reader = new StreamReader(stream);
        return await reader.ReadToEndAsync(cancellation);
    }

    /// <summary>A blob as a file, for units that run one at a time; it stays as long as the process.</summary>
    public async Task<string> OpenFileAsync(Digest blob, CancellationToken cancellation = default)
    {
        var file = Path.Combine(Root, "file-" + blob.Value);
        if (!File.Exists(file))
            await _blobs.LinkAsync(blob, file, cancellation);
        return file;
    }

    /// <summary>Stores a folder; its manifest.</summary>
    public async Task<Digest> StoreAsync(string folder, CancellationToken cancellation = default) =>
        (await ArtifactFolders.StoreAsync(_store, folder, cancellation)).Digest;

    /// <inheritdoc cref="StoreAsync(string, CancellationToken)"/>
    public Task<Digest> StoreAsync(WorkPath folder, CancellationToken cancellation = default) => StoreAsync(folder.Path, cancellation);

    public void Dispose()
    {
        Directory.Delete(Root, recursive: true);
        _held.Dispose();
    }

    private string PathOf(Digest manifest) => Path.Combine(Root, manifest.Value);

    private static FileStream Hold(string folder) =>
        new(Path.Combine(folder, ".lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);

    /// <summary>Folders of processes that were killed: nobody holds their locks.</summary>
    private static void RemoveAbandoned(string all)
    {
        foreach (var folder in Directory.EnumerateDirectories(all).Where(folder => File.Exists(Path.Combine(folder, ".lock"))))
        {
            try
            {
                using var held = Hold(folder);
                Directory.Delete(folder, recursive: true);
            }
            catch (IOException)
            {
                // In use by a process that lives.
            }
        }
    }
}
