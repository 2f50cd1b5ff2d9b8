namespace Qbb.Registry.Models;

/// <summary>One version of a model: the files that a manifest lists. It is there only when all of them are in the store.</summary>
internal sealed class ModelVersion
{
    public required Guid Id { get; init; }

    public required Guid ModelId { get; init; }

    public Model Model { get; init; } = null!;

    /// <summary>1, 2, … within the model.</summary>
    public required int Number { get; init; }

    /// <summary>Digest of the manifest: the version's identity.</summary>
    public required string Manifest { get; init; }

    public required VersionKind Kind { get; init; }

    /// <summary>Of all files.</summary>
    public required long Bytes { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    public DateTimeOffset? DeletedAt { get; set; }

    /// <summary>When the collector let its files go; the row stays, since others may have been made from it.</summary>
    public DateTimeOffset? PurgedAt { get; set; }

    public int Revision { get; set; }

    public Lineage? Lineage { get; set; }

    public List<VersionFile> Files { get; } = [];

    public List<VersionTag> Tags { get; } = [];

    public List<Metric> Metrics { get; } = [];
}
