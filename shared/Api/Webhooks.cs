using System.Text.Json.Serialization;

namespace Qbb.Api;

/// <summary>What a webhook is to be.</summary>
/// <param name="Url">Where events are posted to.</param>
/// <param name="Events">version.created, alias.moved, pipeline.finished, pipeline.failed.</param>
/// <param name="Paused">New events are not stored for it, and those that are due wait.</param>
/// <example>{"url":"https://ci.example.com/qbb","events":["version.created","pipeline.failed"],"paused":false}</example>
[JsonUnmappedMemberHandling(JsonUnmappedMemberHandling.Disallow)]
public sealed record WebhookChange(string? Url = null, IReadOnlyList<string>? Events = null, bool Paused = false);

/// <summary>A webhook.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Url">Where events are posted to.</param>
/// <param name="Events">Their types.</param>
/// <param name="Paused">New events are not stored for it, and those that are due wait.</param>
/// <param name="CreatedAt">When it was created.</param>
/// <param name="Secret">Of signatures; told when it is new only.</param>
/// <example>{"name":"ci","url":"https://ci.example.com/qbb","events":["version.created"],"paused":false,"createdAt":"2026-11-29T12:00:00+00:00","secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}</example>
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
/// <example>{"id":41,"event":"01a2190b-4bed-754b-a4a6-5b09073c2fe1","type":"version.created","createdAt":"2026-11-29T12:00:00+00:00","deliveredAt":"2026-11-29T12:00:11+00:00","attempts":2,"dueAt":"2026-11-29T12:00:10+00:00","status":200,"error":"the receiver answered 503"}</example>
public sealed record WebhookDeliveryView(
    long Id, Guid Event, string Type, DateTimeOffset CreatedAt, DateTimeOffset? DeliveredAt, int Attempts, DateTimeOffset? DueAt, int? Status, string? Error);
