using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Qbb.Registry.Models;

namespace Qbb.Registry.Data.Configurations;

internal sealed class LineageConfiguration : IEntityTypeConfiguration<Lineage>
{
    public void Configure(EntityTypeBuilder<Lineage> builder)
    {
        builder.ToTable("lineages");
        builder.HasKey(lineage => lineage.VersionId);
        builder.HasIndex(lineage => lineage.Recipe);
        builder.HasOne(lineage => lineage.Parent).WithMany().HasForeignKey(lineage => lineage.ParentId).OnDelete(DeleteBehavior.Restrict);
        foreach (var digest in (string[])[nameof(Lineage.Recipe), nameof(Lineage.Data), nameof(Lineage.Filtered), nameof(Lineage.Windows)])
            builder.Property(digest).HasMaxLength(64);
    }
}
