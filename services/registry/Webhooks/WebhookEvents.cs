using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.ChangeTracking;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Qbb.Registry.Data;

namespace Qbb.Registry.Webhooks;

/// <summary>What webhooks can be told of.</summary>
internal static class WebhookEvents
{
    public const string VersionCreated = "version.created";
    public const string AliasMoved = "alias.moved";
    public const string PipelineFinished = "pipeline.finished";
    public const string PipelineFailed = "pipeline.failed";
    public const string Ping = "ping";

    public static IReadOnlyList<string> All { get; } = [VersionCreated, AliasMoved, PipelineFinished, PipelineFailed];

    /// <summary>A CloudEvent 1.0 in its structured form.</summary>
    /// <param name="id">Of the event.</param>
    /// <param name="type">As in <see cref="All"/>.</param>
    /// <param name="subject">What it is about: tiny/2, or a pipeline's id.</param>
    /// <param name="source">The registry's address.</param>
    /// <param name="time">When it happened.</param>
    /// <param name="data">The rest.</param>
    public static string Write(Guid id, string type, string subject, string source, DateTimeOffset time, JsonObject data) => new JsonObject
    {
        ["specversion"] = "1.0",
        ["id"] = $"{id}",
        ["type"] = $"qbb.{type}",
        ["source"] = source,
        ["subject"] = subject,
        ["time"] = time.ToString("O"),
        ["datacontenttype"] = "application/json",
        ["data"] = data,
    }.ToJsonString(JsonSerializerOptions.Web);
}

/// <summary>Adds a delivery for every webhook that requested what a save changes, in the same transaction. Saves without such changes cost a look at them.</summary>
internal sealed class WebhookJournal(WebhookOptions options, TimeProvider clock) : SaveChangesInterceptor
{
    public override async ValueTask<InterceptionResult<int>> SavingChangesAsync(
        DbContextEventData eventData, InterceptionResult<int> result, CancellationToken cancellationToken = default)
    {
        if (eventData.Context is RegistryContext context && Happened(context.ChangeTracker).ToList() is { Count: > 0 } happened)
            await AddAsync(context, happened, cancellationToken);
        return await base.SavingChangesAsync(eventData, result, cancellationToken);
    }

    private async Task AddAsync(RegistryContext context, List<(string Type, object Row)> happened, CancellationToken cancellation)
    {
        var webhooks = (await context.Webhooks.AsNoTracking().Where(webhook => !webhook.IsPaused).ToListAsync(cancellation))
            .Where(webhook => happened.Exists(one => webhook.Events.Contains(one.Type))).ToList();
        if (webhooks.Count == 0)
            return;
        var now = clock.GetUtcNow();
        foreach (var (type, row) in happened)
        {
            var (id, (subject, data)) = (Guid.CreateVersion7(), await DescribeAsync(context, row, cancellation));
            var body = WebhookEvents.Write(id, type, subject, options.PublicUrl!, now, data);
            context.WebhookDeliveries.AddRange(webhooks.Where(webhook => webhook.Events.Contains(type))
                .Select(webhook => new WebhookDelivery { WebhookId = webhook.Id, EventId = id, Type = type, Body = body, CreatedAt = now, DueAt = now }));
        }
    }

    private static IEnumerable<(string Type, object Row)> Happened(ChangeTracker tracker)
    {
        foreach (var entry in tracker.Entries())
        {
            var type = (entry.Entity, entry.State) switch
            {
                (ModelVersion, EntityState.Added) => WebhookEvents.VersionCreated,
                (Alias, EntityState.Added or EntityState.Deleted) => WebhookEvents.AliasMoved,
                (Alias, EntityState.Modified) when entry.Property(nameof(Alias.VersionId)).IsModified => WebhookEvents.AliasMoved,
                (Pipeline { Status: PipelineStatus.Succeeded }, EntityState.Modified) when entry.Property(nameof(Pipeline.Status)).IsModified => WebhookEvents.PipelineFinished,
                (Pipeline { Status: PipelineStatus.Failed }, EntityState.Modified) when entry.Property(nameof(Pipeline.Status)).IsModified => WebhookEvents.PipelineFailed,
                _ => null,
            };
            if (type is not null)
                yield return (type, entry.State == EntityState.Deleted ? (object)new GoneAlias((Alias)entry.Entity) : entry.Entity);
        }
    }

    private static async Task<(string Subject, JsonObject Data)> DescribeAsync(RegistryContext context, object row, CancellationToken cancellation)
    {
        switch (row)
        {
            case ModelVersion version:
                var name = await NameAsync(version.ModelId);
                return ($"{name}/{version.Number}", new JsonObject { ["model"] = name, ["version"] = version.Number, ["manifest"] = version.Manifest, ["kind"] = Wire.NameOf(version.Kind) });
            case Alias alias:
                return ($"{await NameAsync(alias.ModelId)}@{alias.Name}", new JsonObject
                {
                    ["model"] = await NameAsync(alias.ModelId),
                    ["alias"] = alias.Name,
                    ["version"] = await NumberAsync(alias.VersionId),
                });
            case GoneAlias gone:
                return ($"{await NameAsync(gone.Alias.ModelId)}@{gone.Alias.Name}", new JsonObject { ["model"] = await NameAsync(gone.Alias.ModelId), ["alias"] = gone.Alias.Name, ["version"] = null });
            case Pipeline pipeline:
                return ($"{pipeline.Id}", new JsonObject
                {
                    ["pipeline"] = $"{pipeline.Id}",
                    ["model"] = pipeline.ModelName,
                    ["recipe"] = pipeline.RecipeName ?? pipeline.Recipe,
                    ["version"] = pipeline.ResultId is { } result ? await NumberAsync(result) : null,
                    ["error"] = pipeline.Error,
                });
            default:
                throw new ArgumentException($"unknown event of {row.GetType()}", nameof(row));
        }

        // Both may be new in this save.
        async Task<string?> NameAsync(Guid id) => context.Models.Local.FirstOrDefault(model => model.Id == id)?.Name
            ?? await context.Models.Where(model => model.Id == id).Select(model => model.Name).FirstOrDefaultAsync(cancellation);

        async Task<int?> NumberAsync(Guid id) => context.Versions.Local.FirstOrDefault(version => version.Id == id)?.Number
            ?? await context.Versions.Where(version => version.Id == id).Select(version => (int?)version.Number).FirstOrDefaultAsync(cancellation);
    }

    private sealed record GoneAlias(Alias Alias);
}
