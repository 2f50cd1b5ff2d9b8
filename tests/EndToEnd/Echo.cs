using MassTransit;

namespace Qbb.EndToEnd.Tests;

/// <summary>Publishes every message that it sees twice more, some time later: three deliveries each, in an order that nobody planned.</summary>
internal sealed class Echo<T>(EchoDelays delays) : IConsumer<T>
    where T : class
{
    private const string Echoed = "echoed";

    public Task Consume(ConsumeContext<T> context)
    {
        if (context.Headers.TryGetHeader(Echoed, out _))
            return Task.CompletedTask;
        for (var copy = 0; copy < 2; copy++)
            _ = AgainAsync(context.Message, delays);
        return Task.CompletedTask;
    }

    private static async Task AgainAsync(T message, EchoDelays delays)
    {
        await Task.Delay(delays.Next());
        await delays.Bus.Publish(message, publish => publish.Headers.Set(Echoed, true));
        delays.Count();
    }
}
