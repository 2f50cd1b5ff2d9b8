using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Pages;
using static Qbb.Registry.Pages.Pieces;

namespace Qbb.Registry.Webhooks;

/// <summary>Webhooks and their latest deliveries.</summary>
internal static class WebhookPage
{
    private const int MostDeliveries = 20;
    private static readonly Column[] s_columns = [new("Event"), new("State"), new("Reason"), new("Created"), new("Attempts", IsNumber: true), new("")];

    public static async Task<IResult> Show(HttpContext http, RegistryContext context, TimeProvider clock, CancellationToken cancellation)
    {
        var now = clock.GetUtcNow();
        var sections = new List<Markup>();
        foreach (var webhook in await WebhookEndpoints.AllAsync(context, cancellation))
        {
            var deliveries = await context.WebhookDeliveries.AsNoTracking().Where(delivery => delivery.WebhookId == webhook.Id)
                .OrderByDescending(delivery => delivery.Id).Take(MostDeliveries).ToListAsync(cancellation);
            sections.Add(Section(webhook.Name, Markup.Of($"""
                {Facts([("Address", Text(webhook.Url)), ("Events", Text(string.Join(", ", webhook.Events))), ("State", Text(webhook.IsPaused ? "paused" : "active")), ("Created", Numbers.Ago(webhook.CreatedAt, now))])}
                <form method="post" action="/webhooks/{webhook.Name}/ping"><button aria-label="Send a ping to {webhook.Name}">Send ping</button></form>
                {(deliveries.Count == 0 ? Markup.Of($"<p>No deliveries yet.</p>") : DataTable.Of($"Deliveries of {webhook.Name}", s_columns, deliveries.Select(delivery => Row(webhook, delivery, now))))}
                """), $"webhook-{webhook.Name}"));
        }
        var body = sections.Count == 0 ? Nothing(Markup.Of($"<p>No webhooks yet.</p>")) : Markup.Join(sections);
        return PageLayout.Page(http, new PageParts("Webhooks", Markup.Of($"""
            <p class="lead">A webhook receives a signed CloudEvent when a version is created, an alias moves, or a pipeline finishes or fails.</p>
            {body}
            {Section("Using the API", Command($$"""
                curl -X PUT {{SiteAddress.Of(http)}}/api/webhooks/ci -H 'Content-Type: application/json' \
                  -d '{ "url": "https://ci.example.com/hooks/qbb", "events": ["version.created", "pipeline.failed"] }'
                """))}
            """))
        {
            Above = [("/interface", "API")],
            Area = Area.Interface,
        });
    }

    private static Markup[] Row(Webhook webhook, WebhookDelivery delivery, DateTimeOffset now) =>
    [
        Text(delivery.Type), Text(delivery.DeliveredAt is not null ? "delivered" : delivery.DueAt is null ? "given up" : delivery.Attempts == 0 ? "queued" : "retrying"),
        Text(delivery.Error), Numbers.Ago(delivery.CreatedAt, now), Text($"{delivery.Attempts}"),
        Markup.Of($"""
            <form method="post" action="/webhooks/{webhook.Name}/deliveries/{delivery.Id}/redeliver"><button aria-label="Redeliver {delivery.Type} {delivery.Id}">Redeliver</button></form>
            """),
    ];
}
