using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Qbb.Registry.Models;

namespace Qbb.Registry.Data.Configurations;

internal sealed class ModelConfiguration : IEntityTypeConfiguration<Model>
{
    public void Configure(EntityTypeBuilder<Model> builder)
    {
        builder.ToTable("models");
        builder.Property(model => model.Id).ValueGeneratedNever();
        builder.Property(model => model.Name).HasMaxLength(ModelName.MostCharacters);
        builder.HasIndex(model => model.Name).IsUnique();
        builder.Property(model => model.Gate).AsJson();
        builder.Property(model => model.Revision).IsConcurrencyToken();
        builder.HasMany(model => model.Versions).WithOne(version => version.Model).HasForeignKey(version => version.ModelId);
        builder.HasMany(model => model.Aliases).WithOne().HasForeignKey(alias => alias.ModelId);
    }
}
