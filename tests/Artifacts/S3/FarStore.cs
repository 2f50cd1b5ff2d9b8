
namespace Qbb.Artifacts.Tests.S3;

/// <summary>A store that counts what is fetched from it.</summary>
internal sealed class FarStore(IArtifactStore inner) : IArtifactStore
{
    private int _fetched;

    public int Fetched => _fetched;

    /// <summary>What the next reader gets instead of the blob.</summary>
    public byte[]? Instead { get; set; }

    public async Task<Stream> OpenReadAsync(Digest digest, long offset = 0, long? length = null, CancellationToken cancellation = default)
    {
        Interlocked.Increment(ref _fetched);
        return Instead is { } bytes ? new MemoryStream(bytes) : await inner.OpenReadAsync(digest, offset, length, cancellation);
    }

    public Task<BlobInfo> PutAsync(Stream content, Digest? expected = null, CancellationToken cancellation = default) => inner.PutAsync(content, expected, cancellation);

    public Task<BlobInfo?> FindAsync(Digest digest, CancellationToken cancellation = default) => inner.FindAsync(digest, cancellation);

    public Task<bool> KeepAsync(Digest digest, CancellationToken cancellation = default) => inner.KeepAsync(digest, cancellation);

    public Task<bool> DeleteAsync(Digest digest, CancellationToken cancellation = default) => inner.DeleteAsync(digest, cancellation);

    public Task<IReadOnlyCollection<Digest>> RemoveAsync(IReadOnlyCollection<Digest> digests, DateTimeOffset unused, CancellationToken cancellation = default) =>
        inner.RemoveAsync(digests, unused, cancellation);

    public IAsyncEnumerable<BlobInfo> ListAsync(CancellationToken cancellation = default) => inner.ListAsync(cancellation);

    public Task RemoveAbandonedAsync(DateTimeOffset before, CancellationToken cancellation = default) => inner.RemoveAbandonedAsync(before, cancellation);
}
