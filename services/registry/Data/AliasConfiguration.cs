using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Qbb.Registry.Models;

namespace Qbb.Registry.Data.Configurations;

internal sealed class AliasConfiguration : IEntityTypeConfiguration<Alias>
{
    public void Configure(EntityTypeBuilder<Alias> builder)
    {
        builder.ToTable("aliases");
        builder.HasKey(alias => new { alias.ModelId, alias.Name });
        builder.Property(alias => alias.Name).HasMaxLength(ModelName.MostCharacters);
        builder.Property(alias => alias.Revision).IsConcurrencyToken();
        builder.HasOne(alias => alias.Version).WithMany().HasForeignKey(alias => alias.VersionId);
    }
}
