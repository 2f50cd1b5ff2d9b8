using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Qbb.Registry.Data;

/// <summary>A change that an MLflow server is told of, saved together with the change itself. It is kept for a while after it was sent.</summary>
internal sealed class MlflowChange
{
    /// <summary>Their order.</summary>
    public long Id { get; init; }

    public required MlflowTopic Topic { get; init; }

    /// <summary>The pipeline, the version, or the model of the alias.</summary>
    public required Guid SubjectId { get; init; }

    /// <summary>What cannot be read from the database later, as JSON.</summary>
    public required string Body { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>Times that sending it was begun: a server may have acted on all but the first.</summary>
    public int Attempts { get; set; }

    public DateTimeOffset? SentAt { get; set; }

    /// <summary>Why it was set aside; null where it was not.</summary>
    public string? Error { get; set; }
}

internal enum MlflowTopic
{
    Run,

    /// <summary>A run whose state changes: what is noted later goes in another request.</summary>
    RunState,
    Version,
    Alias,
}

/// <summary>What something is called in MLflow.</summary>
internal sealed class MlflowLink
{
    /// <summary>The subject of the experiment's link; not the empty one, for which Entity Framework makes up another.</summary>
    public static readonly Guid Experiment = new("00000000-0000-0000-0000-000000000001");

    /// <summary>A pipeline or a version, or <see cref="Experiment"/>.</summary>
    public required Guid SubjectId { get; init; }

    /// <summary>The run's id, the version's number there, or the experiment's id.</summary>
    public required string RemoteId { get; init; }

    /// <summary>The registered model of a version; of the experiment when it was created, which tells servers apart.</summary>
    public required string Name { get; init; }
}

/// <summary>A version of a registered model in MLflow that a policy watches for: each is taken once.</summary>
internal sealed class MlflowImport
{
    public required string Name { get; init; }

    public required string Version { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>The version here; null until it is there.</summary>
    public Guid? VersionId { get; set; }

    public int Attempts { get; set; }

    /// <summary>When a failed import is tried again; null where it is done or was given up.</summary>
    public DateTimeOffset? DueAt { get; set; }

    public string? Error { get; set; }
}

internal sealed class MlflowMapping : IEntityTypeConfiguration<MlflowChange>, IEntityTypeConfiguration<MlflowLink>, IEntityTypeConfiguration<MlflowImport>
{
    public void Configure(EntityTypeBuilder<MlflowChange> builder)
    {
        builder.ToTable("mlflow_outbox");
        builder.HasIndex(change => change.Id).HasFilter("\"SentAt\" IS NULL").HasDatabaseName("IX_mlflow_outbox_pending");
        builder.HasIndex(change => change.SubjectId);
        builder.Property(change => change.Topic).HasConversion<string>().HasMaxLength(16);
    }

    public void Configure(EntityTypeBuilder<MlflowLink> builder)
    {
        builder.ToTable("mlflow_links");
        builder.HasKey(link => link.SubjectId);
        builder.Property(link => link.RemoteId).HasMaxLength(64);
        builder.Property(link => link.Name).HasMaxLength(256);
    }

    public void Configure(EntityTypeBuilder<MlflowImport> builder)
    {
        builder.ToTable("mlflow_imports");
        builder.HasKey(import => new { import.Name, import.Version });
        builder.HasIndex(import => import.DueAt);
        builder.Property(import => import.Name).HasMaxLength(256);
        builder.Property(import => import.Version).HasMaxLength(32);
    }
}
