namespace Qbb.Registry.Messaging;

/// <summary>A message that has acted; the same again does nothing.</summary>
internal sealed class InboxMessage
{
    public required Guid MessageId { get; init; }

    public required DateTimeOffset ReceivedAt { get; init; }
}
