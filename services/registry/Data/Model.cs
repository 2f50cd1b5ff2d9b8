namespace Qbb.Registry.Models;

/// <summary>A model by name; what it consists of are its versions.</summary>
internal sealed class Model
{
    public required Guid Id { get; init; }

    public required string Name { get; init; }

    public string Description { get; set; } = "";

    /// <summary>The number of the version that was made last.</summary>
    public int LastVersion { get; set; }

    /// <summary>What decides which version is the champion; null for the policy's or the registry's.</summary>
    public Gate? Gate { get; set; }

    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>When it was deleted; it can be restored until the collector removes it.</summary>
    public DateTimeOffset? DeletedAt { get; set; }

    /// <summary>Rises with every change; the ETag.</summary>
    public int Revision { get; set; }

    public List<ModelVersion> Versions { get; } = [];

    public List<Alias> Aliases { get; } = [];
}
