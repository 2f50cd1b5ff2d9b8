using MassTransit;
using Qbb.Contracts;

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary>The test as one more service on the bus.</summary>
internal static class TestBus
{
    /// <summary>A bus that echoes all commands and events until it is stopped.</summary>
    public static async Task<IBusControl> EchoAsync(RabbitServer broker, EchoDelays delays)
    {
        var bus = Bus.Factory.CreateUsingRabbitMq(rabbit =>
        {
            rabbit.Host("127.0.0.1", (ushort)broker.Port, "/", host =>
            {
                host.Username("guest");
                host.Password("guest");
            });
            rabbit.ReceiveEndpoint("echo-" + Guid.NewGuid().ToString("N"), endpoint =>
            {
                endpoint.AutoDelete = true;
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
}
