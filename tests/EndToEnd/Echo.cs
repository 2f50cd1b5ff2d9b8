using MassTransit;

namespace Qbb.EndToEnd.Tests;

/// <summary>
/// Publishes every message that it sees twice more, some time later: three deliveries each, in an order that nobody planned. One copy is the
/// same message by its id, as a broker delivers one again; the other says the same as a message of its own, as a worker does that is asked again.
/// </summary>
internal sealed class Echo<T>(EchoDelays delays) : IConsumer<T>
    where T : class
{
    private const string Echoed = "echoed";

    public Task Consume(ConsumeContext<T> context)
    {
        if (context.Headers.TryGetHeader(Echoed, out _))
            return Task.CompletedTask;
        _ = AgainAsync(context.Message, context.MessageId, delays);
        _ = AgainAsync(context.Message, null, delays);
        return Task.CompletedTask;
    }

    private static async Task AgainAsync(T message, Guid? id, EchoDelays delays)
    {
        await Task.Delay(delays.Next());
        await delays.Bus.Publish(message, publish =>
        {
            publish.Headers.Set(Echoed, true);
            publish.MessageId = id ?? publish.MessageId;
        });
        delays.Count();
    }
}
