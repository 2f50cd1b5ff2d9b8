using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Qbb.Registry.Models;

namespace Qbb.Registry.Data.Configurations;

internal sealed class VersionTagConfiguration : IEntityTypeConfiguration<VersionTag>
{
    public void Configure(EntityTypeBuilder<VersionTag> builder)
    {
        builder.ToTable("tags");
        builder.HasKey(tag => new { tag.VersionId, tag.Key });
        builder.HasIndex(tag => new { tag.Key, tag.Value });
        builder.Property(tag => tag.Key).HasMaxLength(64);
        builder.Property(tag => tag.Value).HasMaxLength(256);
    }
}
