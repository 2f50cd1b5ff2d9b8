using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Qbb.Registry.Data;

/// <summary>A name of a version that can be moved to another, such as champion.</summary>
internal sealed class Alias
{
    public const string Champion = "champion";

    public required Guid ModelId { get; init; }

    public required string Name { get; init; }

    public required Guid VersionId { get; set; }

    public ModelVersion Version { get; init; } = null!;

    public required DateTimeOffset UpdatedAt { get; set; }

    /// <summary>A person set it: the gate leaves it there.</summary>
    public bool IsHeld { get; set; }

    public int Revision { get; set; }
}

internal sealed class AliasMapping : IEntityTypeConfiguration<Alias>
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
