using Qbb.Contracts;

namespace Qbb.Artifacts;

/// <summary>A blob is not in the store.</summary>
public sealed class BlobNotFoundException(Digest digest) : ArtifactStoreException($"the artifact {digest} is not in the store")
{
    public Digest Digest => digest;
}
