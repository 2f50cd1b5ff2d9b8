using Qbb.Contracts;

namespace Qbb.Artifacts;

/// <summary>
/// Bytes by their SHA-256. What is in the store is whole and never changes; the same bytes are there once, however often they are put.
/// Safe for any number of processes.
/// </summary>
public interface IArtifactStore
{
    /// <summary>Puts bytes in the store; they are durable when the call returns, and if it throws nothing is there.</summary>
    /// <param name="content">Read to its end.</param>
    /// <param name="expected">The digest that the bytes must have; null for any.</param>
    /// <param name="cancellation">Stops in the middle.</param>
    /// <exception cref="DigestMismatchException">The bytes have another digest.</exception>
    /// <exception cref="ArtifactStoreException">The store is full or cannot be written.</exception>
    Task<BlobInfo> PutAsync(Stream content, Digest? expected = null, CancellationToken cancellation = default);

    /// <summary>Opens bytes from <paramref name="offset"/>. Reading a whole blob to its end verifies it: the last read throws
    /// <see cref="DigestMismatchException"/> where the store's bytes are damaged.</summary>
    /// <param name="digest">Which blob.</param>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes; null for all that follow.</param>
    /// <param name="cancellation">Stops opening.</param>
    /// <exception cref="BlobNotFoundException">It is not there.</exception>
    Task<Stream> OpenReadAsync(Digest digest, long offset = 0, long? length = null, CancellationToken cancellation = default);

    /// <summary>What the store knows of a blob; null where it is not there.</summary>
    Task<BlobInfo?> FindAsync(Digest digest, CancellationToken cancellation = default);

    /// <summary>Marks a blob as used now, so that a collector that spares what is new spares it too; false where it is not there.</summary>
    Task<bool> KeepAsync(Digest digest, CancellationToken cancellation = default);

    /// <summary>Removes a blob; false where it was not there.</summary>
    Task<bool> DeleteAsync(Digest digest, CancellationToken cancellation = default);

    /// <summary>Removes blobs that were not used since some time; those that are gone now.</summary>
    /// <param name="digests">As they stood near one another in <see cref="ListAsync"/>.</param>
    /// <param name="unused">What was put or kept later stays.</param>
    /// <param name="cancellation">Stops between some of them.</param>
    Task<IReadOnlyCollection<Digest>> RemoveAsync(IReadOnlyCollection<Digest> digests, DateTimeOffset unused, CancellationToken cancellation = default);

    /// <summary>All blobs, in no order; those put or removed meanwhile may be among them or not.</summary>
    IAsyncEnumerable<BlobInfo> ListAsync(CancellationToken cancellation = default);

    /// <summary>Removes what uploads that ended in the middle, by kill -9 say, left behind; nobody could see it as a blob.</summary>
    /// <param name="before">What is younger may still be on its way.</param>
    /// <param name="cancellation">Stops between them.</param>
    Task RemoveAbandonedAsync(DateTimeOffset before, CancellationToken cancellation = default);
}
