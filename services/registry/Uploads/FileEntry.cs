using Qbb.Contracts;

namespace Qbb.Registry.Uploads;

/// <summary>A file of a version.</summary>
/// <param name="Name">Relative, with forward slashes.</param>
/// <param name="Digest">SHA-256 of its bytes.</param>
/// <param name="Size">Bytes.</param>
public sealed record FileEntry(string Name, Digest Digest, long Size);
