namespace Qbb.Registry.Messaging;

/// <summary>A message to publish, saved together with the state that it follows from.</summary>
internal sealed class OutboxMessage
{
    /// <summary>Their order.</summary>
    public long Id { get; init; }

    /// <summary>The same however often it is published, so that receivers can tell.</summary>
    public required Guid MessageId { get; init; }

    /// <summary>A name of MessageTypes.</summary>
    public required string Type { get; init; }

    public required string Body { get; init; }

    /// <summary>The trace that it belongs to (W3C traceparent).</summary>
    public string? TraceParent { get; init; }
}
