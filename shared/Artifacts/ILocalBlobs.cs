using Qbb.Contracts;

namespace Qbb.Artifacts;

/// <summary>Blobs as files of this machine, for what maps files into memory.</summary>
public interface ILocalBlobs
{
    /// <summary>A file with the blob's bytes, not to be written; it may go away later, so link it or open it.</summary>
    /// <exception cref="BlobNotFoundException">The blob is not there.</exception>
    Task<string> FetchAsync(Digest digest, CancellationToken cancellation = default);
}
