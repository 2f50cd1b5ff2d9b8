using System.Net;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Qbb.Hosting.Options;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Pages;

namespace Qbb.Registry.Webhooks;

/// <summary>Addresses that are told of events, and what was sent to them.</summary>
internal static class WebhookEndpoints
{
    private const int MostWebhooks = 100;
    private static readonly TimeSpan s_grace = TimeSpan.FromDays(1);
    private static readonly string[] s_tables = ["webhooks"];

    public static IHostApplicationBuilder AddWebhooks(this IHostApplicationBuilder builder)
    {
        builder.Services.AddValidatedOptions<WebhookOptions>(WebhookOptions.Section);
        var options = builder.Configuration.GetSection(WebhookOptions.Section).Read<WebhookOptions>();
        options.PublicUrl ??= SiteAddress.Listening(builder.Configuration["Urls"]);
        builder.Services.AddSingleton(options).AddSingleton<ISaveChangesInterceptor, WebhookJournal>().AddHostedService<WebhookSender>();
        return builder;
    }

    public static void MapWebhooks(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/webhooks").WithTags("webhooks");
        group.MapGet("/", List).WithSummary("Lists webhooks.");
        group.MapPut("/{name}", Put).WithSummary("Creates or changes a webhook. The answer to a creation is the only one that has the secret.").ProducesProblem(422);
        group.MapDelete("/{name}", Delete).WithSummary("Removes a webhook with its deliveries.").ProducesProblem(404);
        group.MapPost("/{name}/rotate", Rotate).WithSummary("Replaces the secret. For a day deliveries are signed with the old one too.").ProducesProblem(404);
        group.MapPost("/{name}/ping", Ping).WithSummary("Sends an event of the type ping.").ProducesProblem(404);
        group.MapGet("/{name}/deliveries", Deliveries).WithSummary("Lists deliveries, the newest first.").ProducesProblem(404);
        group.MapPost("/{name}/deliveries/{delivery:long}/redeliver", Redeliver).WithSummary("Sends a delivery again, with the same id.").ProducesProblem(404);

        var pages = routes.MapPages("/webhooks");
        pages.MapGet("", WebhookPage.Show);
        pages.MapPost("/{name}/ping", async (string name, RegistryContext context, WebhookOptions options, TimeProvider clock, CancellationToken cancellation) =>
        {
            await Ping(name, context, options, clock, cancellation);
            return new SeeOther("/webhooks");
        });
        pages.MapPost("/{name}/deliveries/{delivery:long}/redeliver", async (string name, long delivery, RegistryContext context, TimeProvider clock, CancellationToken cancellation) =>
        {
            await Redeliver(name, delivery, context, clock, cancellation);
            return new SeeOther("/webhooks");
        });
    }

    private static async Task<Ok<Page<WebhookView>>> List(RegistryContext context, CancellationToken cancellation) =>
        TypedResults.Ok(new Page<WebhookView>([.. (await AllAsync(context, cancellation)).Select(webhook => View(webhook))], null));

    internal static Task<List<Webhook>> AllAsync(RegistryContext context, CancellationToken cancellation) =>
        context.Webhooks.AsNoTracking().OrderBy(webhook => webhook.Name).ToListAsync(cancellation);

    private static async Task<Results<Ok<WebhookView>, Created<WebhookView>>> Put(
        string name, WebhookChange change, RegistryContext context, WebhookOptions options, TimeProvider clock, CancellationToken cancellation)
    {
        Check(name, change, options.AllowPrivate);
        var (view, isNew) = await context.ChangeAsync(async () =>
        {
            var there = await context.Webhooks.FirstOrDefaultAsync(webhook => webhook.Name == name, cancellation);
            if (there is null && await context.Webhooks.CountAsync(cancellation) >= MostWebhooks)
                throw RefusedException.Conflict($"there are {MostWebhooks} webhooks already: remove one");
            var webhook = there ?? context.Webhooks.Add(new Webhook
            {
                Id = Guid.CreateVersion7(),
                Name = name,
                Url = change.Url!,
                Events = change.Events!,
                Secret = WebhookSignature.NewSecret(),
                CreatedAt = clock.GetUtcNow(),
            }).Entity;
            (webhook.Url, webhook.Events, webhook.IsPaused) = (change.Url!, change.Events!, change.Paused);
            webhook.Revision++;
            return (View(webhook, there is null ? webhook.Secret : null), there is null);
        }, s_tables, cancellation);
        return isNew ? TypedResults.Created($"/api/webhooks/{name}", view) : TypedResults.Ok(view);
    }

    private static async Task<NoContent> Delete(string name, RegistryContext context, CancellationToken cancellation) => await context.ChangeAsync(async () =>
    {
        context.Webhooks.Remove(await FindAsync(name, context, cancellation));
        return TypedResults.NoContent();
    }, [], cancellation);

    private static async Task<Ok<WebhookView>> Rotate(string name, RegistryContext context, TimeProvider clock, CancellationToken cancellation) => TypedResults.Ok(await context.ChangeAsync(async () =>
    {
        var webhook = await FindAsync(name, context, cancellation);
        (webhook.OldSecret, webhook.OldSecretUntil, webhook.Secret) = (webhook.Secret, clock.GetUtcNow() + s_grace, WebhookSignature.NewSecret());
        webhook.Revision++;
        return View(webhook, webhook.Secret);
    }, [], cancellation));

    private static async Task<Accepted> Ping(string name, RegistryContext context, WebhookOptions options, TimeProvider clock, CancellationToken cancellation)
    {
        var webhook = await FindAsync(name, context, cancellation);
        var (id, now) = (Guid.CreateVersion7(), clock.GetUtcNow());
        context.WebhookDeliveries.Add(new WebhookDelivery
        {
            WebhookId = webhook.Id,
            EventId = id,
            Type = WebhookEvents.Ping,
            Body = WebhookEvents.Write(id, WebhookEvents.Ping, name, options.PublicUrl!, now, []),
            CreatedAt = now,
            DueAt = now,
        });
        await context.SaveChangesAsync(cancellation);
        return TypedResults.Accepted($"/api/webhooks/{name}/deliveries");
    }

    private static async Task<Ok<Page<WebhookDeliveryView>>> Deliveries(string name, long? after, int? limit, RegistryContext context, CancellationToken cancellation)
    {
        var (webhook, most) = (await FindAsync(name, context, cancellation), Paging.LimitOf(limit));
        var rows = await context.WebhookDeliveries.AsNoTracking().Where(delivery => delivery.WebhookId == webhook.Id && (after == null || delivery.Id < after))
            .OrderByDescending(delivery => delivery.Id).Take(most + 1).ToListAsync(cancellation);
        return TypedResults.Ok(Paging.Make(rows, most, View, row => $"{row.Id}"));
    }

    private static async Task<Accepted> Redeliver(string name, long delivery, RegistryContext context, TimeProvider clock, CancellationToken cancellation)
    {
        var webhook = await FindAsync(name, context, cancellation);
        var now = clock.GetUtcNow();
        var changed = await context.WebhookDeliveries.Where(row => row.Id == delivery && row.WebhookId == webhook.Id).ExecuteUpdateAsync(
            set => set.SetProperty(row => row.DueAt, now).SetProperty(row => row.DeliveredAt, (DateTimeOffset?)null).SetProperty(row => row.Attempts, 0), cancellation);
        return changed > 0 ? TypedResults.Accepted($"/api/webhooks/{name}/deliveries") : throw RefusedException.NotFound($"{name} has no delivery {delivery}");
    }

    private static async Task<Webhook> FindAsync(string name, RegistryContext context, CancellationToken cancellation) =>
        await context.Webhooks.FirstOrDefaultAsync(webhook => webhook.Name == name, cancellation) ?? throw RefusedException.NotFound($"there is no webhook {name}");

    private static void Check(string name, WebhookChange change, bool allowPrivate)
    {
        var problems = new List<string>();
        if (ModelName.ProblemOf(name) is { } problem)
            problems.Add(problem);
        if (!Uri.TryCreate(change.Url, UriKind.Absolute, out var url) || url.Scheme is not ("http" or "https") || url.UserInfo.Length > 0 || change.Url!.Length > 2048)
            problems.Add("url must be an address such as https://ci.example.com/hooks/qbb, without a user name");
        else if (!allowPrivate && IPAddress.TryParse(url.IdnHost, out var address) && !PublicConnections.IsPublic(address))
            problems.Add($"{url.Host} is a private address: set Webhooks:AllowPrivate to allow it");
        if (change.Events is not { Count: > 0 } events)
            problems.Add($"events must be some of {string.Join(", ", WebhookEvents.All)}");
        else
            problems.AddRange(events.Where(type => !WebhookEvents.All.Contains(type)).Select(type => $"unknown event {type}: known are {string.Join(", ", WebhookEvents.All)}"));
        if (problems.Count > 0)
            throw RefusedException.Unusable("the webhook cannot be used: " + string.Join("; ", problems), problems);
    }

    internal static WebhookView View(Webhook webhook, string? secret = null) => new(webhook.Name, webhook.Url, webhook.Events, webhook.IsPaused, webhook.CreatedAt, secret);

    internal static WebhookDeliveryView View(WebhookDelivery delivery) => new(
        delivery.Id, delivery.EventId, delivery.Type, delivery.CreatedAt, delivery.DeliveredAt, delivery.Attempts, delivery.DueAt, delivery.Status, delivery.Error);
}
