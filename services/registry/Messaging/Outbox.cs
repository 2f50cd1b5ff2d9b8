using System.Diagnostics;
using System.Text.Json;
using Qbb.Contracts;
using Qbb.Registry.Data;

namespace Qbb.Registry.Messaging;

/// <summary>Messages to publish: they are saved with the state that they follow from, or not at all.</summary>
internal static class Outbox
{
    /// <param name="message">A record of Qbb.Contracts.</param>
    /// <param name="pipeline">What it is about.</param>
    /// <param name="queue">Where it goes; null for whoever listens.</param>
    public static OutboxMessage Write(object message, Guid pipeline, string? queue = null) => new()
    {
        MessageId = Guid.CreateVersion7(),
        PipelineId = pipeline,
        Queue = queue,
        Type = message.GetType().Name,
        Body = JsonSerializer.Serialize(message, message.GetType()),
        TraceParent = Activity.Current?.Id,
    };

    /// <exception cref="OutboxException">It cannot be read.</exception>
    public static (object Body, Type Type) Read(OutboxMessage message)
    {
        var type = typeof(PipelineCancelled).Assembly.GetType($"{typeof(PipelineCancelled).Namespace}.{message.Type}")
            ?? throw new OutboxException($"unknown type {message.Type}");
        try
        {
            return (JsonSerializer.Deserialize(message.Body, type) ?? throw new OutboxException("it is empty"), type);
        }
        catch (Exception error) when (error is JsonException or FormatException or ArgumentException)
        {
            throw new OutboxException($"it is damaged: {error.Message}", error);
        }
    }
}

/// <summary>A message of the outbox cannot be read.</summary>
internal sealed class OutboxException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>Wakes a service of this process when there is something to do.</summary>
internal abstract class Signal
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
    public async Task WaitAsync(TimeSpan most, TimeProvider clock, CancellationToken cancellation)
    {
        using var limit = new CancellationTokenSource(most, clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellation);
        try
        {
            await _pending.WaitAsync(either.Token);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            // The time is over.
        }
    }
}

/// <summary>Something was saved in the outbox.</summary>
internal sealed class OutboxSignal : Signal;

/// <summary>A pipeline is to be published.</summary>
internal sealed class PublishSignal : Signal;
