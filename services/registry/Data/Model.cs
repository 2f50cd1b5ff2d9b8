using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Qbb.Registry.Data;

/// <summary>A model by name; its content is in its versions.</summary>
internal sealed class Model
{
    public required Guid Id { get; init; }

    public required string Name { get; init; }

    public string Description { get; set; } = "";

    /// <summary>The number of the newest version.</summary>
    public int LastVersion { get; set; }

    /// <summary>What decides which version is the champion; null for the policy's or the registry's.</summary>
    public Gate? Gate { get; set; }

    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>When it was deleted; it can be restored until garbage collection.</summary>
    public DateTimeOffset? DeletedAt { get; set; }

    /// <summary>Rises with every change.</summary>
    public int Revision { get; set; }

    public List<ModelVersion> Versions { get; } = [];

    public List<Alias> Aliases { get; } = [];
}

internal sealed class ModelMapping : IEntityTypeConfiguration<Model>
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
