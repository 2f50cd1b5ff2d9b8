using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Qbb.Registry.Idempotency;

namespace Qbb.Registry.Data.Configurations;

internal sealed class IdempotentRequestConfiguration : IEntityTypeConfiguration<IdempotentRequest>
{
    public void Configure(EntityTypeBuilder<IdempotentRequest> builder)
    {
        builder.ToTable("idempotency");
        builder.HasKey(request => request.Key);
        builder.HasIndex(request => request.CreatedAt);
        builder.Property(request => request.Key).HasMaxLength(128);
        builder.Property(request => request.Fingerprint).HasMaxLength(64);
    }
}
