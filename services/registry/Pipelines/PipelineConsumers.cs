using MassTransit;
using Qbb.Contracts;
using Qbb.Hosting.Bus;

namespace Qbb.Registry.Pipelines.Running;

/// <summary>The registry's queue: what workers say, and what the bus gave up.</summary>
internal static class PipelineConsumers
{
    private const int Batch = 100;
    private static readonly TimeSpan s_together = TimeSpan.FromMilliseconds(50);

    public static void Add(IBusRegistrationConfigurator bus, BusOptions options)
    {
        var queue = options.QueueOf("registry");
        Add<SequencesSampled>(bus, queue);
        Add<DataAssembled>(bus, queue);
        Add<LayersDecomposed>(bus, queue);
        Add<ModelAssembled>(bus, queue);
        Add<SequencesScored>(bus, queue);
        Add<SequencesFiltered>(bus, queue);
        Add<RoundDistilled>(bus, queue);
        Add<WindowsEvaluated>(bus, queue);
        Add<UnitFailed>(bus, queue);
        Add<Fault<SampleSequences>>(bus, queue);
        Add<Fault<AssembleData>>(bus, queue);
        Add<Fault<DecomposeLayers>>(bus, queue);
        Add<Fault<AssembleModel>>(bus, queue);
        Add<Fault<ScoreSequences>>(bus, queue);
        Add<Fault<FilterSequences>>(bus, queue);
        Add<Fault<DistillRound>>(bus, queue);
        Add<Fault<EvaluateWindows>>(bus, queue);
    }

    private static void Add<T>(IBusRegistrationConfigurator bus, string queue)
        where T : class =>
        bus.AddConsumer<WorkerEventConsumer<T>>(consumer =>
        {
            consumer.Options<BatchOptions>(batch => batch.SetMessageLimit(Batch).SetTimeLimit(s_together).SetConcurrencyLimit(1));
            // The database may be away for a while: the messages stay unacknowledged meanwhile, for less than the broker allows.
            consumer.UseMessageRetry(retry =>
            {
                retry.Exponential(60, TimeSpan.FromMilliseconds(200), TimeSpan.FromSeconds(15), TimeSpan.FromMilliseconds(500));
                retry.Handle<Exception>(Transience.IsTransient);
            });
        }).Endpoint(endpoint =>
        {
            endpoint.Name = queue;
            endpoint.PrefetchCount = 4 * Batch;
        });
}
