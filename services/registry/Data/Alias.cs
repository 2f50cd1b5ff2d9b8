namespace Qbb.Registry.Models;

/// <summary>A name of a version that can be moved to another, such as champion.</summary>
internal sealed class Alias
{
    public const string Champion = "champion";

    public required Guid ModelId { get; init; }

    public required string Name { get; init; }

    public required Guid VersionId { get; set; }

    public ModelVersion Version { get; init; } = null!;

    public required DateTimeOffset UpdatedAt { get; set; }

    public int Revision { get; set; }
}
