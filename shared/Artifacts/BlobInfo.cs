using Qbb.Contracts;

namespace Qbb.Artifacts;

/// <summary>A blob of a store.</summary>
/// <param name="Digest">SHA-256 of its bytes.</param>
/// <param name="Size">Bytes.</param>
/// <param name="LastUsed">When it was last put or kept (<see cref="IArtifactStore.KeepAsync"/>).</param>
public sealed record BlobInfo(Digest Digest, long Size, DateTimeOffset LastUsed);
