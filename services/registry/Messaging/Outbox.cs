using System.Diagnostics;
using System.Text.Json;
using Qbb.Registry.Data;

namespace Qbb.Registry.Messaging;

/// <summary>Where messages are left to be published: they are saved with the state that they follow from, or not at all.</summary>
internal sealed class Outbox(RegistryContext context)
{
    public void Add(object message) => context.Outbox.Add(new OutboxMessage
    {
        MessageId = Guid.CreateVersion7(),
        Type = message.GetType().Name,
        Body = JsonSerializer.Serialize(message, message.GetType()),
        TraceParent = Activity.Current?.Id,
    });
}
