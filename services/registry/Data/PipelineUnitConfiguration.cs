using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Qbb.Registry.Pipelines.Machine;

namespace Qbb.Registry.Data.Configurations;

internal sealed class PipelineUnitConfiguration : IEntityTypeConfiguration<PipelineUnit>
{
    public void Configure(EntityTypeBuilder<PipelineUnit> builder)
    {
        builder.ToTable("units");
        builder.HasKey(unit => new { unit.PipelineId, unit.Kind, unit.Index });
        builder.HasIndex(unit => new { unit.PipelineId, unit.Key });
        builder.HasIndex(unit => unit.DueAt);
        builder.HasOne<Pipeline>().WithMany().HasForeignKey(unit => unit.PipelineId);
        builder.Property(unit => unit.Kind).HasConversion<string>().HasMaxLength(16);
        builder.Property(unit => unit.Status).HasConversion<string>().HasMaxLength(16);
        builder.Property(unit => unit.Key).HasMaxLength(64);
        builder.Property(unit => unit.Result).HasMaxLength(64);
        builder.Property(unit => unit.Report).AsJson();
    }
}
