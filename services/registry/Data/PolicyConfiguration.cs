using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Qbb.Registry.Policies;

namespace Qbb.Registry.Data.Configurations;

internal sealed class PolicyConfiguration : IEntityTypeConfiguration<Policy>
{
    public void Configure(EntityTypeBuilder<Policy> builder)
    {
        builder.ToTable("policies");
        builder.HasKey(policy => policy.Name);
        builder.Property(policy => policy.Name).HasMaxLength(64);
        builder.Property(policy => policy.Models).HasMaxLength(128);
        builder.Property(policy => policy.Recipes).AsJson();
        builder.Property(policy => policy.Gate).AsJson();
        builder.Property(policy => policy.Revision).IsConcurrencyToken();
    }
}
