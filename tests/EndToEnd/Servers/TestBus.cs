using MassTransit;
using Qbb.Hosting.Bus;
using Qbb.Registry.Tests.Service;

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary>The test as one more service on the bus.</summary>
internal static class TestBus
{
    private const int WorkersAtOnce = 8;

    /// <summary>A bus whose one consumer answers the commands of some queues, of all unless they are named, until it is stopped.</summary>
    public static async Task<IBusControl> WorkersAsync(RabbitServer broker, string prefix, ScriptedWorker worker, params string[] queues)
    {
        var bus = Bus.Factory.CreateUsingRabbitMq(rabbit =>
        {
            UseHost(rabbit, broker, prefix);
            foreach (var queue in queues.Length > 0 ? queues : WorkQueues.All)
            {
                rabbit.ReceiveEndpoint($"{prefix}-{queue}", endpoint =>
                {
                    endpoint.ConfigureConsumeTopology = false;
                    endpoint.ConcurrentMessageLimit = WorkersAtOnce;
                    endpoint.Instance(worker);
                });
            }
        });
        await bus.StartAsync();
        return bus;
    }

    /// <summary>A bus that echoes all commands and events until it is stopped.</summary>
    public static async Task<IBusControl> EchoAsync(RabbitServer broker, string prefix, EchoDelays delays)
    {
        var bus = Bus.Factory.CreateUsingRabbitMq(rabbit =>
        {
            UseHost(rabbit, broker, prefix);
            rabbit.ReceiveEndpoint("echo-" + Guid.NewGuid().ToString("N"), endpoint =>
            {
                endpoint.AutoDelete = true;
                // Commands are sent to queues, whose exchanges it hears too.
                foreach (var queue in WorkQueues.All)
                    endpoint.Bind($"{prefix}-{queue}");
                Add<SampleSequences>(endpoint);
                Add<SequencesSampled>(endpoint);
                Add<AssembleData>(endpoint);
                Add<DataAssembled>(endpoint);
                Add<DecomposeLayers>(endpoint);
                Add<LayersDecomposed>(endpoint);
                Add<AssembleModel>(endpoint);
                Add<ModelAssembled>(endpoint);
                Add<ScoreSequences>(endpoint);
                Add<SequencesScored>(endpoint);
                Add<FilterSequences>(endpoint);
                Add<SequencesFiltered>(endpoint);
                Add<DistillRound>(endpoint);
                Add<RoundDistilled>(endpoint);
                Add<EvaluateWindows>(endpoint);
                Add<WindowsEvaluated>(endpoint);
            });
        });
        delays.Bus = bus;
        await bus.StartAsync();
        return bus;

        void Add<T>(IRabbitMqReceiveEndpointConfigurator endpoint)
            where T : class => endpoint.Consumer(() => new Echo<T>(delays));
    }

    private static void UseHost(IRabbitMqBusFactoryConfigurator rabbit, RabbitServer broker, string prefix)
    {
        rabbit.Host("127.0.0.1", (ushort)broker.Port, "/", host =>
        {
            host.Username("guest");
            host.Password("guest");
        });
        BusExtensions.UsePrefix(rabbit, prefix);
    }
}
