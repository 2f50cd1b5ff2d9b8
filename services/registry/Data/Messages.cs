using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Qbb.Registry.Data;

/// <summary>A message to publish, saved together with the state that it follows from.</summary>
internal sealed class OutboxMessage
{
    /// <summary>Their order.</summary>
    public long Id { get; init; }

    /// <summary>The same however often it is published, so that receivers can tell.</summary>
    public required Guid MessageId { get; init; }

    /// <summary>Name of a record of Qbb.Contracts.</summary>
    public required string Type { get; init; }

    public required string Body { get; init; }

    /// <summary>The pipeline that it is about.</summary>
    public Guid? PipelineId { get; init; }

    /// <summary>The queue that it goes to; null for whoever listens.</summary>
    public string? Queue { get; init; }

    /// <summary>Why it cannot be sent: it is set aside, and the others go on.</summary>
    public string? Error { get; set; }

    /// <summary>The trace that it belongs to (W3C traceparent).</summary>
    public string? TraceParent { get; init; }
}

/// <summary>A message that was handled; duplicates are ignored.</summary>
internal sealed class InboxMessage
{
    public required Guid MessageId { get; init; }

    public required DateTimeOffset ReceivedAt { get; init; }
}

internal sealed class MessageMapping : IEntityTypeConfiguration<OutboxMessage>, IEntityTypeConfiguration<InboxMessage>
{
    public void Configure(EntityTypeBuilder<OutboxMessage> builder)
    {
        builder.ToTable("outbox");
        builder.HasIndex(message => message.PipelineId);
        builder.Property(message => message.Type).HasMaxLength(64);
        builder.Property(message => message.Queue).HasMaxLength(64);
        builder.Property(message => message.TraceParent).HasMaxLength(64);
    }

    public void Configure(EntityTypeBuilder<InboxMessage> builder)
    {
        builder.ToTable("inbox");
        builder.HasKey(message => message.MessageId);
        builder.HasIndex(message => message.ReceivedAt);
    }
}
