namespace Qbb.Registry.Models;

/// <summary>A file of a version; also the reference that keeps its blob from being collected.</summary>
internal sealed class VersionFile
{
    public Guid VersionId { get; init; }

    /// <summary>Relative, with forward slashes.</summary>
    public required string Name { get; init; }

    public required string Digest { get; init; }

    public required long Size { get; init; }
}
