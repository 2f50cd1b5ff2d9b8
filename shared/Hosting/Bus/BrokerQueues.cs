using MassTransit;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Qbb.Hosting.Startup;
using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;

namespace Qbb.Hosting.Bus;

/// <summary>
/// The durable queues of a RabbitMQ broker that a process sends to or consumes from, each with its error queue. They are declared in one type before
/// anything is sent, so that nothing is dropped because its receiver has never been there.
/// </summary>
public sealed class BrokerQueues
{
    /// <summary>
    /// How often a quorum queue may deliver a message again. RabbitMQ 4 drops it after 20 times unless told otherwise, and every outage and every worker
    /// that is stopped in mid-unit is one. It has a word for no limit, which RabbitMQ 3 refuses.
    /// </summary>
    internal const int DeliveryLimit = 1_000_000_000;

    private readonly IOptions<BusOptions> _options;
    private readonly IReadOnlyCollection<string> _queues;

    internal BrokerQueues(IOptions<BusOptions> options, IReadOnlyCollection<string> queues) => (_options, _queues) = (options, queues);

    /// <exception cref="StartupException">A queue is there with other settings.</exception>
    public async Task DeclareAsync(CancellationToken cancellation)
    {
        await using var connection = await _options.Value.ConnectAsync(cancellation);
        foreach (var queue in _queues)
        {
            var name = _options.Value.QueueOf(queue);
            await DeclareAsync(connection, name, cancellation);
            await DeclareAsync(connection, ErrorsOf(name), cancellation);
        }
    }

    /// <summary>How many messages are in each queue; a queue that is not there has none.</summary>
    public async Task<IReadOnlyDictionary<string, QueueDepth>> DepthsAsync(CancellationToken cancellation)
    {
        var depths = new Dictionary<string, QueueDepth>();
        await using var connection = await _options.Value.ConnectAsync(cancellation);
        foreach (var queue in _queues)
        {
            var name = _options.Value.QueueOf(queue);
            var (messages, consumers) = await CountAsync(connection, name, cancellation);
            depths[queue] = new QueueDepth(messages, consumers, (await CountAsync(connection, ErrorsOf(name), cancellation)).Messages);
        }
        return depths;
    }

    private static string ErrorsOf(string queue) => queue + "_error";

    // As MassTransit declares an endpoint: an exchange of the same name before each queue.
    private async Task DeclareAsync(IConnection connection, string queue, CancellationToken cancellation)
    {
        var type = _options.Value.QueueType;
        // A refusal closes the channel.
        await using var channel = await connection.CreateChannelAsync(cancellationToken: cancellation);
        try
        {
            await channel.ExchangeDeclareAsync(queue, RabbitMQ.Client.ExchangeType.Fanout, durable: true, cancellationToken: cancellation);
            var arguments = type == QueueType.Quorum ? new Dictionary<string, object?> { ["x-queue-type"] = "quorum", ["x-delivery-limit"] = DeliveryLimit } : null;
            await channel.QueueDeclareAsync(queue, durable: true, exclusive: false, autoDelete: false, arguments, cancellationToken: cancellation);
            await channel.QueueBindAsync(queue, queue, "", cancellationToken: cancellation);
        }
        catch (OperationInterruptedException refused) when (refused.ShutdownReason is { } reason)
        {
            throw new StartupException(
                $"the broker at {_options.Value.Address} refuses to declare {queue}: {reason.ReplyText}. " + (reason.ReplyCode == Constants.PreconditionFailed
                    ? $"Set {BusOptions.Section}:{nameof(BusOptions.QueueType)} to the type of the queues that are there, or delete them when they are empty: rabbitmqctl delete_queue {queue}"
                    : $"Give the user {_options.Value.User} the right to configure queues and exchanges"), refused);
        }
    }

    private static async Task<(uint Messages, uint Consumers)> CountAsync(IConnection connection, string queue, CancellationToken cancellation)
    {
        await using var channel = await connection.CreateChannelAsync(cancellationToken: cancellation);
        try
        {
            var found = await channel.QueueDeclarePassiveAsync(queue, cancellation);
            return (found.MessageCount, found.ConsumerCount);
        }
        catch (OperationInterruptedException missing) when (missing.ShutdownReason?.ReplyCode == Constants.NotFound)
        {
            return (0, 0);
        }
    }
}

/// <summary>How full a queue is.</summary>
/// <param name="Messages">Those that no consumer has in hand.</param>
/// <param name="Consumers">Those that are connected.</param>
/// <param name="Failed">Messages in its error queue.</param>
public readonly record struct QueueDepth(uint Messages, uint Consumers, uint Failed);

/// <summary>Declares the queues before the bus starts.</summary>
internal sealed class QueueDeclaration(BrokerQueues queues) : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken) => queues.DeclareAsync(cancellationToken);

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}

/// <summary>Sends commands to queues.</summary>
/// <param name="bus">The bus.</param>
/// <param name="options">Of the bus.</param>
/// <param name="queues">Of the broker; null for the transport in memory.</param>
public sealed class QueueSender(IBus bus, IOptions<BusOptions> options, BrokerQueues? queues = null)
{
    public async Task SendAsync(string queue, object message, Type type, Guid id, CancellationToken cancellation)
    {
        var name = options.Value.QueueOf(queue);
        var endpoint = await bus.GetSendEndpoint(new Uri(queues is null ? $"queue:{name}" : $"exchange:{name}"));
        try
        {
            await endpoint.Send(message, type, Prepare, cancellation);
        }
        catch (MessageReturnedException) when (queues is not null)
        {
            // Somebody deleted the queue after the start.
            await queues.DeclareAsync(cancellation);
            await endpoint.Send(message, type, Prepare, cancellation);
        }

        void Prepare(SendContext context)
        {
            context.MessageId = id;
            if (context.TryGetPayload<RabbitMqSendContext>(out var rabbit))
                rabbit.Mandatory = true;
        }
    }
}
