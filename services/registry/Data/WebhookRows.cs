using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Qbb.Registry.Data;

/// <summary>An address that is told of events.</summary>
internal sealed class Webhook
{
    public required Guid Id { get; init; }

    public required string Name { get; init; }

    public required string Url { get; set; }

    /// <summary>Types of events, such as version.created.</summary>
    public required IReadOnlyList<string> Events { get; set; }

    public required string Secret { get; set; }

    /// <summary>The secret before, by which deliveries are signed too for a while.</summary>
    public string? OldSecret { get; set; }

    public DateTimeOffset? OldSecretUntil { get; set; }

    public bool IsPaused { get; set; }

    public required DateTimeOffset CreatedAt { get; init; }

    public int Revision { get; set; }
}

/// <summary>One event for one webhook, saved together with what happened.</summary>
internal sealed class WebhookDelivery
{
    /// <summary>Their order.</summary>
    public long Id { get; init; }

    public required Guid WebhookId { get; init; }

    /// <summary>The same at every attempt, so that receivers can tell.</summary>
    public required Guid EventId { get; init; }

    public required string Type { get; init; }

    /// <summary>A CloudEvent as JSON.</summary>
    public required string Body { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    public int Attempts { get; set; }

    /// <summary>When it is sent next; null where it was delivered or given up.</summary>
    public DateTimeOffset? DueAt { get; set; }

    public DateTimeOffset? DeliveredAt { get; set; }

    /// <summary>Of the last answer.</summary>
    public int? Status { get; set; }

    public string? Error { get; set; }
}

internal sealed class WebhookMapping : IEntityTypeConfiguration<Webhook>, IEntityTypeConfiguration<WebhookDelivery>
{
    public void Configure(EntityTypeBuilder<Webhook> builder)
    {
        builder.ToTable("webhooks");
        builder.Property(webhook => webhook.Id).ValueGeneratedNever();
        builder.HasIndex(webhook => webhook.Name).IsUnique();
        builder.Property(webhook => webhook.Name).HasMaxLength(64);
        builder.Property(webhook => webhook.Url).HasMaxLength(2048);
        builder.Property(webhook => webhook.Events).AsJson();
        builder.Property(webhook => webhook.Revision).IsConcurrencyToken();
    }

    public void Configure(EntityTypeBuilder<WebhookDelivery> builder)
    {
        builder.ToTable("webhook_deliveries");
        builder.HasIndex(delivery => delivery.DueAt);
        builder.HasIndex(delivery => new { delivery.WebhookId, delivery.Id });
        builder.HasOne<Webhook>().WithMany().HasForeignKey(delivery => delivery.WebhookId);
        builder.Property(delivery => delivery.Type).HasMaxLength(64);
    }
}
