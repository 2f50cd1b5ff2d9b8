using Qbb.Contracts;

namespace Qbb.Artifacts;

/// <summary>Bytes do not have the digest that they should have: they were damaged on their way or on the disk.</summary>
public sealed class DigestMismatchException(Digest expected, Digest actual)
    : ArtifactStoreException($"the bytes have the digest {actual}, not {expected} as they should: they were damaged, or belong to another file")
{
    public Digest Expected => expected;

    public Digest Actual => actual;
}
