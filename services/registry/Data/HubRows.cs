using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Qbb.Registry.Data;

/// <summary>A commit of a model on the hub that a policy watches: each is taken once.</summary>
internal sealed class HubImport
{
    /// <summary>OWNER/NAME, with the path of a GGUF file where the policy names one.</summary>
    public required string Source { get; init; }

    /// <summary>Its hash; empty in the row that holds why the hub could not be asked.</summary>
    public required string Commit { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>The version here; null until it is there.</summary>
    public Guid? VersionId { get; set; }

    public int Attempts { get; set; }

    /// <summary>When a failed import is tried again; null where it is done or was given up.</summary>
    public DateTimeOffset? DueAt { get; set; }

    public string? Error { get; set; }
}

internal sealed class HubMapping : IEntityTypeConfiguration<HubImport>
{
    public void Configure(EntityTypeBuilder<HubImport> builder)
    {
        builder.ToTable("hub_imports");
        builder.HasKey(import => new { import.Source, import.Commit });
        builder.Property(import => import.Source).HasMaxLength(512);
        builder.Property(import => import.Commit).HasMaxLength(40);
    }
}
