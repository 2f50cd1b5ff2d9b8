using Qbb.Contracts;

namespace Qbb.Artifacts;

/// <summary>Blobs as files of this machine, for what maps files into memory.</summary>
public interface ILocalBlobs
{
    /// <summary>
    /// Makes a file with a blob's bytes: where it can a second name of the store's own file, which costs no room and stays whatever becomes of
    /// that. The bytes are verified once: as they come in, or the first time that this process asks for them. The file is not to be written.
    /// </summary>
    /// <param name="digest">Which blob.</param>
    /// <param name="path">The file, which is not there yet; its folder is.</param>
    /// <param name="cancellation">Stops in the middle.</param>
    /// <exception cref="BlobNotFoundException">The blob is not there.</exception>
    /// <exception cref="DigestMismatchException">The blob is damaged.</exception>
    Task LinkAsync(Digest digest, string path, CancellationToken cancellation = default);
}
