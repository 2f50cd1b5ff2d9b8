using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Qbb.Registry.Models;

namespace Qbb.Registry.Data.Configurations;

internal sealed class ModelVersionConfiguration : IEntityTypeConfiguration<ModelVersion>
{
    public void Configure(EntityTypeBuilder<ModelVersion> builder)
    {
        builder.ToTable("versions");
        builder.Property(version => version.Id).ValueGeneratedNever();
        builder.HasIndex(version => new { version.ModelId, version.Number }).IsUnique();
        builder.HasIndex(version => new { version.ModelId, version.Manifest }).IsUnique();
        builder.HasIndex(version => version.Manifest);
        builder.HasIndex(version => version.CreatedAt);
        builder.Property(version => version.Manifest).HasMaxLength(64);
        builder.Property(version => version.Kind).HasConversion<string>().HasMaxLength(16);
        builder.Property(version => version.Revision).IsConcurrencyToken();
        builder.HasOne(version => version.Lineage).WithOne().HasForeignKey<Lineage>(lineage => lineage.VersionId);
        builder.HasMany(version => version.Files).WithOne().HasForeignKey(file => file.VersionId);
        builder.HasMany(version => version.Tags).WithOne().HasForeignKey(tag => tag.VersionId);
        builder.HasMany(version => version.Metrics).WithOne().HasForeignKey(metric => metric.VersionId);
    }
}
