using MassTransit;

namespace Qbb.EndToEnd.Tests;

/// <summary>
/// Sends every message that it sees twice more, some time later: three deliveries each, in an order that nobody planned. One copy is the
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
        _ = AgainAsync(context.Message, context.DestinationAddress!, context.MessageId, delays);
        _ = AgainAsync(context.Message, context.DestinationAddress!, null, delays);
        return Task.CompletedTask;
    }

    private static async Task AgainAsync(T message, Uri destination, Guid? id, EchoDelays delays)
    {
        await Task.Delay(delays.Next());
        var endpoint = await delays.Bus.GetSendEndpoint(destination);
        await endpoint.Send(message, send =>
        {
            send.Headers.Set(Echoed, true);
            send.MessageId = id ?? send.MessageId;
        });
        delays.Count();
    }
}
