using Qbb.Contracts;

namespace Qbb.Artifacts;

/// <summary>One file of a manifest.</summary>
/// <param name="Digest">SHA-256 of its bytes.</param>
/// <param name="Size">Bytes.</param>
public sealed record ManifestEntry(Digest Digest, long Size);
