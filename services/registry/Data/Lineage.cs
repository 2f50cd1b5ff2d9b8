namespace Qbb.Registry.Models;

/// <summary>How a version came about.</summary>
internal sealed class Lineage
{
    public Guid VersionId { get; init; }

    /// <summary>The version that it was made from.</summary>
    public required Guid ParentId { get; init; }

    public ModelVersion Parent { get; init; } = null!;

    public Guid? PipelineId { get; init; }

    /// <summary>Digest of <see cref="RecipeJson"/>.</summary>
    public required string Recipe { get; init; }

    public required string RecipeJson { get; init; }

    public string? RecipeName { get; init; }

    /// <summary>Manifests of the data: sampled, kept, scored on.</summary>
    public string? Data { get; init; }

    public string? Filtered { get; init; }

    public string? Windows { get; init; }

    /// <summary>Version of the program.</summary>
    public required string ToolVersion { get; init; }

    /// <summary>The commit that it was built from; null where the build did not know.</summary>
    public string? Commit { get; init; }
}
