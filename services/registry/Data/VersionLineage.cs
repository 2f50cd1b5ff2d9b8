using System.Reflection;
using System.Text.Json.Nodes;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Qbb.Registry.Data;

/// <summary>How a version came about.</summary>
internal sealed class VersionLineage
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

    /// <summary>What people should know of how it was made.</summary>
    public string? Note { get; init; }

    /// <summary>Version of the program.</summary>
    public required string ToolVersion { get; init; }

    /// <summary>The commit that it was built from; null where the build did not know.</summary>
    public string? Commit { get; init; }
}

/// <summary>
/// What a version's statement of provenance says beside its lineage. Pipelines and their units go in time; this stays as long as the version's row.
/// </summary>
internal sealed class VersionProvenance
{
    public Guid VersionId { get; init; }

    /// <summary>Manifest of the version that it was made from.</summary>
    public required string Base { get; init; }

    public required DateTimeOffset? StartedAt { get; init; }

    public required DateTimeOffset FinishedAt { get; init; }

    /// <summary>In the order of their kinds.</summary>
    public required IReadOnlyList<ProvenUnit> Units { get; init; }
}

/// <summary>A unit as it was when the version was published; the members are those of <see cref="PipelineUnit"/>.</summary>
internal sealed record ProvenUnit(
    string Kind, int Index, string Key, string Result, JsonObject? Command, int? Size, string? Environment, UnitReport? Report);

/// <summary>Which program this is.</summary>
internal static class Tool
{
    private static readonly string[] s_informational =
        (typeof(Tool).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "").Split('+', 2);

    public static string Version => s_informational[0];

    /// <summary>The build puts the commit behind the version; null where it did not know it.</summary>
    public static string? Commit => s_informational.Length > 1 ? s_informational[1] : null;
}

internal sealed class ProvenanceMapping : IEntityTypeConfiguration<VersionProvenance>
{
    public void Configure(EntityTypeBuilder<VersionProvenance> builder)
    {
        builder.ToTable("provenances");
        builder.HasKey(provenance => provenance.VersionId);
        builder.HasOne<ModelVersion>().WithOne().HasForeignKey<VersionProvenance>(provenance => provenance.VersionId);
        builder.Property(provenance => provenance.Base).HasMaxLength(64);
        builder.Property(provenance => provenance.Units).AsJson();
    }
}

internal sealed class LineageMapping : IEntityTypeConfiguration<VersionLineage>
{
    public void Configure(EntityTypeBuilder<VersionLineage> builder)
    {
        builder.ToTable("lineages");
        builder.HasKey(lineage => lineage.VersionId);
        builder.HasIndex(lineage => lineage.Recipe);
        builder.HasIndex(lineage => lineage.RecipeName);
        builder.HasOne(lineage => lineage.Parent).WithMany().HasForeignKey(lineage => lineage.ParentId).OnDelete(DeleteBehavior.Restrict);
        foreach (var digest in (string[])[nameof(VersionLineage.Recipe), nameof(VersionLineage.Data), nameof(VersionLineage.Filtered), nameof(VersionLineage.Windows)])
            builder.Property(digest).HasMaxLength(64);
    }
}
