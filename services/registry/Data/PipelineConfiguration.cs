using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Qbb.Registry.Pipelines.Machine;

namespace Qbb.Registry.Data.Configurations;

internal sealed class PipelineConfiguration : IEntityTypeConfiguration<Pipeline>
{
    private static readonly string[] s_digests =
    [
        nameof(Pipeline.Model), nameof(Pipeline.Recipe), nameof(Pipeline.Student), nameof(Pipeline.Data), nameof(Pipeline.Filtered),
        nameof(Pipeline.Checkpoint), nameof(Pipeline.Windows), nameof(Pipeline.Artifact),
    ];

    public void Configure(EntityTypeBuilder<Pipeline> builder)
    {
        builder.ToTable("pipelines");
        builder.Property(pipeline => pipeline.Id).ValueGeneratedNever();
        // Of one model and recipe one pipeline runs at a time; the others follow it.
        builder.HasIndex(pipeline => new { pipeline.ModelId, pipeline.Model, pipeline.Recipe }).IsUnique().HasFilter("\"Status\" = 'Running' AND \"Kind\" <> 'Publish'");
        builder.HasIndex(pipeline => pipeline.LeaderId);
        builder.HasIndex(pipeline => new { pipeline.Status, pipeline.CreatedAt });
        builder.HasIndex(pipeline => pipeline.Recipe);
        builder.Property(pipeline => pipeline.ModelName).HasMaxLength(ModelName.MostCharacters);
        builder.Property(pipeline => pipeline.Status).HasConversion<string>().HasMaxLength(16);
        builder.Property(pipeline => pipeline.Kind).HasConversion<string>().HasMaxLength(16);
        builder.Property(pipeline => pipeline.Route).AsJson();
        builder.Property(pipeline => pipeline.Times).AsJson();
        builder.Property(pipeline => pipeline.Revision).IsConcurrencyToken();
        foreach (var digest in s_digests)
            builder.Property(digest).HasMaxLength(64);
    }
}
