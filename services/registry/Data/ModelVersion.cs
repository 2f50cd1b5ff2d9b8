using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Qbb.Registry.Data;

/// <summary>One version of a model: the files that a manifest lists. It exists only when all of them are in the store.</summary>
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

    /// <summary>The sizes that decide what work on it takes; null where its config.json does not say.</summary>
    public ModelShape? Shape { get; set; }

    public required DateTimeOffset CreatedAt { get; init; }

    public DateTimeOffset? DeletedAt { get; set; }

    /// <summary>When garbage collection released its files; the row stays, since others may have been made from it.</summary>
    public DateTimeOffset? PurgedAt { get; set; }

    public int Revision { get; set; }

    public VersionLineage? Lineage { get; set; }

    public List<VersionFile> Files { get; } = [];

    public List<VersionTag> Tags { get; } = [];

    public List<Metric> Metrics { get; } = [];

    public IReadOnlyDictionary<string, double> MetricsByName => Metrics.ToDictionary(metric => metric.Name, metric => metric.Value);

    /// <summary>Sets a metric of a version whose metrics are loaded.</summary>
    public void SetMetric(string name, double value)
    {
        // Databases disagree on how NaN compares: such a value is left out, and no gate lets the version through.
        if (!double.IsFinite(value))
            return;
        if (Metrics.Find(metric => metric.Name == name) is { } there)
            there.Value = value;
        else
            Metrics.Add(new Metric { VersionId = Id, Name = name, Value = value });
    }
}

/// <summary>A file of a version; also the reference that keeps its blob from being collected.</summary>
internal sealed class VersionFile
{
    public Guid VersionId { get; init; }

    /// <summary>Relative, with forward slashes.</summary>
    public required string Name { get; init; }

    public required string Digest { get; init; }

    public required long Size { get; init; }
}

internal sealed class VersionTag
{
    public Guid VersionId { get; init; }

    public required string Key { get; init; }

    public required string Value { get; set; }
}

internal sealed class Metric
{
    public Guid VersionId { get; init; }

    public required string Name { get; init; }

    public required double Value { get; set; }
}

internal sealed class VersionMapping :
    IEntityTypeConfiguration<ModelVersion>, IEntityTypeConfiguration<VersionFile>, IEntityTypeConfiguration<VersionTag>, IEntityTypeConfiguration<Metric>
{
    public void Configure(EntityTypeBuilder<ModelVersion> builder)
    {
        builder.ToTable("versions");
        builder.Property(version => version.Id).ValueGeneratedNever();
        builder.HasIndex(version => new { version.ModelId, version.Number }).IsUnique();
        // Counts and the newest number in lists of models, without a look at the rows.
        builder.HasIndex(version => new { version.ModelId, version.DeletedAt, version.Number });
        builder.HasIndex(version => new { version.ModelId, version.Manifest }).IsUnique();
        builder.HasIndex(version => version.Manifest);
        builder.HasIndex(version => new { version.CreatedAt, version.Id });
        builder.HasIndex(version => new { version.Kind, version.CreatedAt, version.Id });
        builder.Property(version => version.Manifest).HasMaxLength(64);
        builder.Property(version => version.Kind).HasConversion<string>().HasMaxLength(16);
        builder.Property(version => version.Shape).AsJson();
        builder.Property(version => version.Revision).IsConcurrencyToken();
        builder.HasOne(version => version.Lineage).WithOne().HasForeignKey<VersionLineage>(lineage => lineage.VersionId);
        builder.HasMany(version => version.Files).WithOne().HasForeignKey(file => file.VersionId);
        builder.HasMany(version => version.Tags).WithOne().HasForeignKey(tag => tag.VersionId);
        builder.HasMany(version => version.Metrics).WithOne().HasForeignKey(metric => metric.VersionId);
        builder.Ignore(version => version.MetricsByName);
    }

    public void Configure(EntityTypeBuilder<VersionFile> builder)
    {
        builder.ToTable("files");
        builder.HasKey(file => new { file.VersionId, file.Name });
        builder.HasIndex(file => file.Digest);
        builder.Property(file => file.Name).HasMaxLength(255);
        builder.Property(file => file.Digest).HasMaxLength(64);
    }

    public void Configure(EntityTypeBuilder<VersionTag> builder)
    {
        builder.ToTable("tags");
        builder.HasKey(tag => new { tag.VersionId, tag.Key });
        builder.HasIndex(tag => new { tag.Key, tag.Value });
        builder.Property(tag => tag.Key).HasMaxLength(64);
        builder.Property(tag => tag.Value).HasMaxLength(256);
    }

    public void Configure(EntityTypeBuilder<Metric> builder)
    {
        builder.ToTable("metrics");
        builder.HasKey(metric => new { metric.VersionId, metric.Name });
        builder.HasIndex(metric => new { metric.Name, metric.Value, metric.VersionId });
        builder.Property(metric => metric.Name).HasMaxLength(64);
    }
}
