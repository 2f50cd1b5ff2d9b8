using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Qbb.Registry.Data;

/// <summary>A champion on its way to an OCI registry, saved together with the alias.</summary>
internal sealed class OciPush
{
    /// <summary>Their order.</summary>
    public long Id { get; init; }

    /// <summary>The policy that wants it.</summary>
    public required string Policy { get; init; }

    public required Guid VersionId { get; init; }

    /// <summary>Such as oci://registry.example.com/models/tiny:champion.</summary>
    public required string Target { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    public int Attempts { get; set; }

    /// <summary>When it is tried next; null where it is done or given up.</summary>
    public DateTimeOffset? DueAt { get; set; }

    public DateTimeOffset? DoneAt { get; set; }

    /// <summary>The manifest's digest in the OCI registry.</summary>
    public string? Digest { get; set; }

    public string? Error { get; set; }
}

internal sealed class OciPushMapping : IEntityTypeConfiguration<OciPush>
{
    public void Configure(EntityTypeBuilder<OciPush> builder)
    {
        builder.ToTable("oci_pushes");
        builder.HasIndex(push => push.DueAt);
        builder.HasIndex(push => new { push.Policy, push.Id });
        builder.HasOne<ModelVersion>().WithMany().HasForeignKey(push => push.VersionId);
        builder.Property(push => push.Policy).HasMaxLength(64);
        builder.Property(push => push.Target).HasMaxLength(512);
        builder.Property(push => push.Digest).HasMaxLength(64);
    }
}
