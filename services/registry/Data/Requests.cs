using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Qbb.Registry.Data;

/// <summary>The answer to a request that carried an idempotency key, for when it is sent again.</summary>
internal sealed class IdempotentRequest
{
    public required string Key { get; init; }

    /// <summary>Method and path.</summary>
    public required string Endpoint { get; init; }

    /// <summary>Digest of the body: a key belongs to one request.</summary>
    public required string Fingerprint { get; init; }

    /// <summary>Null while the first request is running.</summary>
    public int? Status { get; set; }

    public string? Location { get; set; }

    public string? ContentType { get; set; }

    public byte[]? Body { get; set; }

    public required DateTimeOffset CreatedAt { get; init; }
}

/// <summary>Keeps an uploaded blob that no version lists yet, while the rest of the upload arrives.</summary>
internal sealed class BlobLease
{
    public required string Digest { get; init; }

    public required DateTimeOffset ExpiresAt { get; set; }
}

/// <summary>When something was last done that is done once, as filing the default policy, or once in a while.</summary>
internal sealed class Mark
{
    public required string Name { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }
}

internal sealed class RequestMapping : IEntityTypeConfiguration<IdempotentRequest>, IEntityTypeConfiguration<BlobLease>, IEntityTypeConfiguration<Mark>
{
    public void Configure(EntityTypeBuilder<Mark> builder)
    {
        builder.ToTable("marks");
        builder.HasKey(mark => mark.Name);
        builder.Property(mark => mark.Name).HasMaxLength(128);
    }

    public void Configure(EntityTypeBuilder<IdempotentRequest> builder)
    {
        builder.ToTable("idempotency");
        builder.HasKey(request => request.Key);
        builder.HasIndex(request => request.CreatedAt);
        builder.Property(request => request.Key).HasMaxLength(128);
        builder.Property(request => request.Fingerprint).HasMaxLength(64);
    }

    public void Configure(EntityTypeBuilder<BlobLease> builder)
    {
        builder.ToTable("leases");
        builder.HasKey(lease => lease.Digest);
        builder.HasIndex(lease => lease.ExpiresAt);
        builder.Property(lease => lease.Digest).HasMaxLength(64);
    }
}
