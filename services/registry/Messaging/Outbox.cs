using System.Diagnostics;
using System.Text.Json;
using Qbb.Contracts;
using Qbb.Registry.Data;

namespace Qbb.Registry.Messaging;

/// <summary>Messages to publish: they are saved with the state that they follow from, or not at all.</summary>
internal sealed class Outbox(RegistryContext context)
{
    /// <param name="message">A record of Qbb.Contracts.</param>
    /// <param name="pipeline">What it is about.</param>
    /// <param name="queue">Where it goes; null for whoever listens.</param>
    public void Add(object message, Guid pipeline, string? queue = null) => context.Outbox.Add(new OutboxMessage
    {
        MessageId = Guid.CreateVersion7(),
        PipelineId = pipeline,
        Queue = queue,
        Type = message.GetType().Name,
        Body = JsonSerializer.Serialize(message, message.GetType()),
        TraceParent = Activity.Current?.Id,
    });

    public static (object Body, Type Type) Read(OutboxMessage message)
    {
        var type = typeof(PipelineCancelled).Assembly.GetType($"{typeof(PipelineCancelled).Namespace}.{message.Type}")
            ?? throw new InvalidOperationException($"the message {message.Id} is of the unknown type {message.Type}");
        return (JsonSerializer.Deserialize(message.Body, type) ?? throw new InvalidOperationException($"the message {message.Id} is empty"), type);
    }
}

/// <summary>Wakes the dispatcher when something was saved in the outbox.</summary>
internal sealed class OutboxSignal
{
    private readonly SemaphoreSlim _pending = new(0, 1);

    public void Set()
    {
        try
        {
            _pending.Release();
        }
        catch (SemaphoreFullException)
        {
            // It is awake already.
        }
    }

    /// <summary>Waits until there is something, at most so long.</summary>
    public Task WaitAsync(TimeSpan most, CancellationToken cancellation) => _pending.WaitAsync(most, cancellation);
}
