using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Qbb.Registry.Blobs;

namespace Qbb.Registry.Data.Configurations;

internal sealed class BlobLeaseConfiguration : IEntityTypeConfiguration<BlobLease>
{
    public void Configure(EntityTypeBuilder<BlobLease> builder)
    {
        builder.ToTable("leases");
        builder.HasKey(lease => lease.Digest);
        builder.HasIndex(lease => lease.ExpiresAt);
        builder.Property(lease => lease.Digest).HasMaxLength(64);
    }
}
