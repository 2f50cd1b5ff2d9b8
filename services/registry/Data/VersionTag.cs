namespace Qbb.Registry.Models;

internal sealed class VersionTag
{
    public Guid VersionId { get; init; }

    public required string Key { get; init; }

    public required string Value { get; set; }
}
