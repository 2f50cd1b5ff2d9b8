using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using Qbb.Contracts;

namespace Qbb.Artifacts;

/// <summary>
/// A store in a folder: <c>blobs/ab/abcd…</c>. Bytes go to <c>incoming/</c>, are hashed on the way, flushed to the disk and renamed, so a blob is
/// whole wherever there is one, kill -9 and power cuts included.
/// </summary>
public sealed class LocalArtifactStore : IArtifactStore, ILocalBlobs
{
    private const int BufferBytes = 1 << 20;

    private readonly string _blobs;
    private readonly string _incoming;
    private readonly ConcurrentDictionary<Digest, bool> _verified = new();

    /// <param name="root">Made if need be.</param>
    /// <exception cref="ArtifactStoreException">The folder cannot be made.</exception>
    public LocalArtifactStore(string root)
    {
        Root = Path.GetFullPath(root);
        (_blobs, _incoming) = (Path.Combine(Root, "blobs"), Path.Combine(Root, "incoming"));
        Guard("made", () =>
        {
            Directory.CreateDirectory(_blobs);
            Directory.CreateDirectory(_incoming);
        });
    }

    /// <summary>The folder.</summary>
    public string Root { get; }

    public async Task<BlobInfo> PutAsync(Stream content, Digest? expected = null, CancellationToken cancellation = default)
    {
        var temporary = Path.Combine(_incoming, Guid.NewGuid().ToString("N"));
        try
        {
            var (digest, size) = await WriteAsync(content, temporary, cancellation);
            if (expected is { } asked && asked != digest)
                throw new DigestMismatchException(asked, digest);
            var (placed, isNew) = Guard("written", () => Place(temporary, digest, size));
            // What was there before may be damaged; what was hashed on its way is not.
            if (isNew)
            {
                _verified[digest] = true;
                StoreMetrics.Stored(size);
            }
            return placed;
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    public Task<Stream> OpenReadAsync(Digest digest, long offset = 0, long? length = null, CancellationToken cancellation = default)
    {
        FileStream file;
        try
        {
            file = new FileStream(PathOf(digest), FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, 0, FileOptions.Asynchronous);
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new BlobNotFoundException(digest);
        }
        var size = file.Length;
        if (offset < 0 || offset > size || length < 0)
        {
            file.Dispose();
            throw new ArgumentOutOfRangeException(nameof(offset), $"the range {offset}+{length} lies outside the artifact's {size} bytes");
        }
        file.Position = offset;
        var count = Math.Min(length ?? long.MaxValue, size - offset);
        return Task.FromResult<Stream>(new BlobStream(file, digest, count, verify: count == size));
    }

    public Task<BlobInfo?> FindAsync(Digest digest, CancellationToken cancellation = default)
    {
        var file = new FileInfo(PathOf(digest));
        return Task.FromResult(file.Exists ? new BlobInfo(digest, file.Length, file.LastWriteTimeUtc) : null);
    }

    public Task<bool> KeepAsync(Digest digest, CancellationToken cancellation = default) => Task.FromResult(FileTimes.TryTouch(PathOf(digest)));

    public Task<bool> DeleteAsync(Digest digest, CancellationToken cancellation = default)
    {
        var path = PathOf(digest);
        if (!File.Exists(path))
            return Task.FromResult(false);
        return Task.FromResult(Guard("deleted from", () =>
        {
            _verified.TryRemove(digest, out _);
            File.Delete(path);
            return true;
        }));
    }

    public async Task<IReadOnlyCollection<Digest>> RemoveAsync(IReadOnlyCollection<Digest> digests, DateTimeOffset unused, CancellationToken cancellation = default)
    {
        var gone = new List<Digest>();
        foreach (var digest in digests)
        {
            cancellation.ThrowIfCancellationRequested();
            if (await FindAsync(digest, cancellation) is { } blob && blob.LastUsed <= unused && await DeleteAsync(digest, cancellation))
                gone.Add(digest);
        }
        return gone;
    }

    public async IAsyncEnumerable<BlobInfo> ListAsync([EnumeratorCancellation] CancellationToken cancellation = default)
    {
        await Task.CompletedTask;
        foreach (var file in new DirectoryInfo(_blobs).EnumerateFiles("*", SearchOption.AllDirectories))
        {
            cancellation.ThrowIfCancellationRequested();
            // One that goes while the list is made is no longer of interest.
            if (Digest.TryParse(file.Name, out var digest) && file.Exists)
                yield return new BlobInfo(digest, file.Length, file.LastWriteTimeUtc);
        }
    }

    public Task RemoveAbandonedAsync(DateTimeOffset before, CancellationToken cancellation = default)
    {
        foreach (var file in new DirectoryInfo(_incoming).EnumerateFiles().Where(file => file.LastWriteTimeUtc < before))
        {
            cancellation.ThrowIfCancellationRequested();
            file.Delete();
        }
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public async Task LinkAsync(Digest digest, string path, CancellationToken cancellation = default)
    {
        if (!_verified.ContainsKey(digest))
        {
            await using var stream = await OpenReadAsync(digest, cancellation: cancellation);
            await BlobReading.VerifyAsync(stream, cancellation);
            _verified[digest] = true;
        }
        if (FileLinks.TryLink(PathOf(digest), path))
            return;
        if (!File.Exists(PathOf(digest)))
            throw new BlobNotFoundException(digest);
        File.CreateSymbolicLink(path, PathOf(digest));
    }

    internal string PathOf(Digest digest) => Path.Combine(_blobs, digest.Value[..2], digest.Value);

    // Only the disk's own errors are the store's: a sender that breaks off throws what it throws.
    private async Task<(Digest Digest, long Size)> WriteAsync(Stream content, string path, CancellationToken cancellation)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        using var file = Guard("written", () => new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, 0));
        var buffer = new byte[BufferBytes];
        for (int count; (count = await content.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, cancellation)) > 0;)
        {
            hash.AppendData(buffer, 0, count);
            Guard("written", () => file.Write(buffer.AsSpan(0, count)));
        }
        Guard("written", () => file.Flush(flushToDisk: true));
        return (Digest.FromHash(hash.GetHashAndReset()), file.Length);
    }

    private (BlobInfo Blob, bool IsNew) Place(string temporary, Digest digest, long size)
    {
        var path = PathOf(digest);
        var isNew = !FileTimes.TryTouch(path);
        if (isNew)
        {
            var folder = Path.GetDirectoryName(path)!;
            Directory.CreateDirectory(folder);
            // Hard links into folders of work share these bytes: nobody may write them.
            File.SetUnixFileMode(temporary, UnixFileMode.UserRead | UnixFileMode.GroupRead | UnixFileMode.OtherRead);
            File.Move(temporary, path, overwrite: true);
            FolderSync.Flush(folder);
        }
        return (new BlobInfo(digest, size, File.GetLastWriteTimeUtc(path)), isNew);
    }

    private void Guard(string what, Action action) => Guard(what, () =>
    {
        action();
        return true;
    });

    private T Guard<T>(string what, Func<T> action)
    {
        try
        {
            return action();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            var message = $"{Root}: cannot be {what}: {error.Message}; see that the disk has room and that the folder may be written";
            throw StoreFullException.IsMeant(error) ? new StoreFullException(message, error) : new ArtifactStoreException(message, error);
        }
    }
}
