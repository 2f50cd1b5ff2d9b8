namespace Qbb.Registry.Models;

/// <summary>A figure of a version.</summary>
internal sealed class Metric
{
    public Guid VersionId { get; init; }

    public required string Name { get; init; }

    public required double Value { get; set; }
}
