using System.Text.Json.Serialization;

namespace Qbb.Api;

/// <summary>What a webhook is to be.</summary>
/// <param name="Url">Where events are posted to.</param>
/// <param name="Events">version.created, alias.moved, pipeline.finished, pipeline.failed.</param>
/// <param name="Paused">New events are not stored for it, and those that are due wait.</param>
[JsonUnmappedMemberHandling(JsonUnmappedMemberHandling.Disallow)]
public sealed record WebhookChange(string? Url = null, IReadOnlyList<string>? Events = null, bool Paused = false);

/// <summary>A webhook.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Url">Where events are posted to.</param>
/// <param name="Events">Their types.</param>
/// <param name="Paused">New events are not stored for it, and those that are due wait.</param>
/// <param name="CreatedAt">When it was created.</param>
/// <param name="Secret">Of signatures; told when it is new only.</param>
public sealed record WebhookView(string Name, string Url, IReadOnlyList<string> Events, bool Paused, DateTimeOffset CreatedAt, string? Secret = null);

/// <summary>An event on its way to a webhook.</summary>
/// <param name="Id">Of the delivery.</param>
/// <param name="Event">Of the event, the same at every attempt.</param>
/// <param name="Type">Its type.</param>
/// <param name="CreatedAt">When it happened.</param>
/// <param name="DeliveredAt">When the receiver accepted it.</param>
/// <param name="Attempts">So far.</param>
/// <param name="DueAt">When it is sent next; null where it was delivered or given up.</param>
/// <param name="Status">Of the last answer.</param>
/// <param name="Error">Why the last attempt failed.</param>
public sealed record WebhookDeliveryView(
    long Id, Guid Event, string Type, DateTimeOffset CreatedAt, DateTimeOffset? DeliveredAt, int Attempts, DateTimeOffset? DueAt, int? Status, string? Error);
