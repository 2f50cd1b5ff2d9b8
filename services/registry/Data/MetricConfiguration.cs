using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Qbb.Registry.Models;

namespace Qbb.Registry.Data.Configurations;

internal sealed class MetricConfiguration : IEntityTypeConfiguration<Metric>
{
    public void Configure(EntityTypeBuilder<Metric> builder)
    {
        builder.ToTable("metrics");
        builder.HasKey(metric => new { metric.VersionId, metric.Name });
        builder.HasIndex(metric => new { metric.Name, metric.Value });
        builder.Property(metric => metric.Name).HasMaxLength(64);
    }
}
