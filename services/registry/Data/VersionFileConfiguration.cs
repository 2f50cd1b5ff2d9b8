using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Qbb.Registry.Models;

namespace Qbb.Registry.Data.Configurations;

internal sealed class VersionFileConfiguration : IEntityTypeConfiguration<VersionFile>
{
    public void Configure(EntityTypeBuilder<VersionFile> builder)
    {
        builder.ToTable("files");
        builder.HasKey(file => new { file.VersionId, file.Name });
        builder.HasIndex(file => file.Digest);
        builder.Property(file => file.Name).HasMaxLength(255);
        builder.Property(file => file.Digest).HasMaxLength(64);
    }
}
