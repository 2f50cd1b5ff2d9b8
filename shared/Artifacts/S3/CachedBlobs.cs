using System.Collections.Concurrent;
using Qbb.Contracts;

namespace Qbb.Artifacts.S3;

/// <summary>
/// Blobs of a store that is far away, as files of a folder that processes may share. A blob is fetched once, verified, and given away as links;
/// those that were used longest ago go before a fetch would take the folder over its limit. A blob that has a link, or is on its way to one, stays.
/// </summary>
public sealed class CachedBlobs : ILocalBlobs
{
    // Blobs share locks by the first byte of their digest, so that there are at most 256 lock files.
    private const int LockDigits = 2;
    private static readonly TimeSpan s_longestFetch = TimeSpan.FromDays(1);

    private readonly IArtifactStore _remote;
    private readonly LocalArtifactStore _cache;
    private readonly long _limit;
    private readonly FolderLock _locks;
    private readonly ConcurrentDictionary<Digest, bool> _verified = new();

    /// <param name="remote">Where the blobs are.</param>
    /// <param name="folder">Of the cache; nothing else may be in it.</param>
    /// <param name="limit">Bytes. What is in use does not go, so there can be more.</param>
    /// <exception cref="ArtifactStoreException">The folder cannot be made.</exception>
    public CachedBlobs(IArtifactStore remote, string folder, long limit)
    {
        (_remote, _limit) = (remote, limit);
        _cache = new LocalArtifactStore(folder);
        _locks = new FolderLock(Directory.CreateDirectory(Path.Combine(_cache.Root, "locks")).FullName);
    }

    /// <inheritdoc/>
    public async Task LinkAsync(Digest digest, string path, CancellationToken cancellation = default)
    {
        using var taken = await _locks.TakeAsync(LockOf(digest), cancellation);
        if (!await IsSoundAsync(digest, cancellation))
            await FetchAsync(digest, cancellation);
        await _cache.KeepAsync(digest, cancellation);
        if (!FileLinks.TryLink(_cache.PathOf(digest), path))
            await CopyAsync(digest, path, cancellation);
    }

    /// <summary>Whether a blob is in the cache; a damaged one is dropped.</summary>
    private async Task<bool> IsSoundAsync(Digest digest, CancellationToken cancellation)
    {
        if (await _cache.FindAsync(digest, cancellation) is null)
            return false;
        if (_verified.ContainsKey(digest))
            return true;
        try
        {
            await using var stream = await _cache.OpenReadAsync(digest, cancellation: cancellation);
            await BlobReading.VerifyAsync(stream, cancellation);
            return _verified[digest] = true;
        }
        catch (DigestMismatchException)
        {
            await _cache.DeleteAsync(digest, cancellation);
            return false;
        }
    }

    private async Task FetchAsync(Digest digest, CancellationToken cancellation)
    {
        await using var stream = await _remote.OpenReadAsync(digest, cancellation: cancellation);
        await MakeRoomAsync(stream.Length, LockOf(digest), cancellation);
        await _cache.PutAsync(stream, digest, cancellation);
        _verified[digest] = true;
    }

    // A folder of work on another disk can have no hard link, and a symbolic one would not keep the file here.
    private async Task CopyAsync(Digest digest, string path, CancellationToken cancellation)
    {
        await using var source = await _cache.OpenReadAsync(digest, cancellation: cancellation);
        await using var target = new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, 0);
        await source.CopyToAsync(target, 1 << 20, cancellation);
    }

    /// <param name="wanted">Bytes to come.</param>
    /// <param name="held">The lock that the caller has.</param>
    /// <param name="cancellation">Stops between blobs.</param>
    private async Task MakeRoomAsync(long wanted, string held, CancellationToken cancellation)
    {
        var blobs = await _cache.ListAsync(cancellation).ToListAsync(cancellation);
        var over = blobs.Sum(blob => blob.Size) + wanted - _limit;
        if (over <= 0)
            return;
        await _cache.RemoveAbandonedAsync(DateTimeOffset.UtcNow - s_longestFetch, cancellation);
        foreach (var blob in blobs.OrderBy(blob => blob.LastUsed).TakeWhile(_ => over > 0))
        {
            if (await TryRemoveAsync(blob.Digest, held, cancellation))
                over -= blob.Size;
        }
    }

    private async Task<bool> TryRemoveAsync(Digest digest, string held, CancellationToken cancellation)
    {
        // Who has the lock is about to link it.
        using var taken = LockOf(digest) == held ? null : _locks.TryTake(LockOf(digest));
        if ((taken is null && LockOf(digest) != held) || FileLinks.CountOf(_cache.PathOf(digest)) > 1)
            return false;
        _verified.TryRemove(digest, out _);
        return await _cache.DeleteAsync(digest, cancellation);
    }

    private static string LockOf(Digest digest) => digest.Value[..LockDigits];
}
