using System.Globalization;
using MassTransit;
using Qbb.Contracts;
using Qbb.Hosting.Bus;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Pipelines.Machine;
using Qbb.Registry.Pipelines.Stages;

namespace Qbb.Registry.Pipelines;

/// <summary>The registry's queue: what workers say, and what the bus gave up.</summary>
internal sealed class PipelineConsumers : IMessageTypes
{
    private const int Batch = 100;
    private static readonly TimeSpan s_together = TimeSpan.FromMilliseconds(50);
    private readonly IBusRegistrationConfigurator _bus;
    private readonly string _queue;
    private readonly HashSet<Type> _added = [];

    private PipelineConsumers(IBusRegistrationConfigurator bus, BusOptions options) => (_bus, _queue) = (bus, options.QueueOf(RegistryExtensions.Queue));

    public static void Add(IBusRegistrationConfigurator bus, BusOptions options)
    {
        var consumers = new PipelineConsumers(bus, options);
        foreach (var stage in UnitStages.All)
            stage.AddMessages(consumers);
        consumers.Add<UnitFailed>();
    }

    public void Add<T>()
        where T : class
    {
        if (!_added.Add(typeof(T)))
            return;
        _bus.AddConsumer<WorkerEventConsumer<T>>(consumer =>
        {
            consumer.Options<BatchOptions>(batch => batch.SetMessageLimit(Batch).SetTimeLimit(s_together).SetConcurrencyLimit(1));
        }).Endpoint(endpoint =>
        {
            endpoint.Name = _queue;
            endpoint.PrefetchCount = 4 * Batch;
        });
    }
}

/// <summary>
/// Takes what workers say, many messages in one transaction of their pipeline. While the database is away they stay unacknowledged and are tried
/// again; a broker that loses its patience delivers them once more, and the inbox takes them once.
/// </summary>
internal sealed class WorkerEventConsumer<T>(IServiceScopeFactory scopes, TimeProvider clock, ILogger<WorkerEventConsumer<T>> log) : IConsumer<Batch<T>>
    where T : class
{
    // Two that change the same rows at once may get in each other's way; once more and it goes.
    private const int Tries = 3;

    // A worker with a broken clock must not decide about turns for ever.
    private const double MostSeconds = 1e6;
    private static readonly TimeSpan s_backoff = TimeSpan.FromSeconds(0.2);

    public async Task Consume(ConsumeContext<Batch<T>> context)
    {
        var cancellation = context.CancellationToken;
        var pipelines = context.Message
            .Select(message => (Id: message.MessageId ?? Guid.NewGuid(), Said: Read(message)))
            .GroupBy(message => message.Said.Pipeline, message => (message.Id, EventOf(message.Said))).ToDictionary(group => group.Key, group => group.ToList());
        Exception? poison = null;
        for (var tries = 1; pipelines.Count > 0; tries++)
        {
            Exception? away = null;
            foreach (var (pipeline, messages) in pipelines.ToList())
            {
                try
                {
                    await ReceiveAsync(pipeline, messages, cancellation);
                    pipelines.Remove(pipeline);
                }
                catch (Exception error) when (!cancellation.IsCancellationRequested)
                {
                    // The other pipelines' messages are not to wait for this one's.
                    if (Transience.IsTransient(error))
                        away = error;
                    else if (pipelines.Remove(pipeline))
                        poison = error;
                }
            }
            if (away is null)
                continue;
            log.LogWarning("Messages of {Count} pipelines wait for the database: {Reason}", pipelines.Count, away.GetBaseException().Message);
            await Task.Delay(Backoff.After(tries, s_backoff), clock, cancellation);
        }
        if (poison is not null)
            throw new PoisonException(poison);
    }

    private static UnitMessage Read(ConsumeContext<T> message)
    {
        var said = UnitStages.Read(message.Message);
        return said.Outcome is not { } outcome ? said : said with
        {
            Outcome = outcome with
            {
                Found = message.Headers.Get<bool>(UnitKey.FoundHeader) ?? false,
                Seconds = SecondsOf(message.Headers.Get<string>(UnitKey.SecondsHeader)),
                Environment = message.Headers.Get<string>(UnitKey.EnvironmentHeader) is { Length: <= 128 } environment ? environment : null,
            },
        };
    }

    private static double? SecondsOf(string? header) =>
        double.TryParse(header, CultureInfo.InvariantCulture, out var seconds) && seconds is >= 0 and < MostSeconds ? seconds : null;

    private static PipelineEvent EventOf(UnitMessage said) =>
        PipelineEvent.Of(said.Failure is { } failure ? said with { Failure = ServerPaths.Hide(failure) } : said);

    private async Task ReceiveAsync(Guid pipeline, List<(Guid, PipelineEvent)> messages, CancellationToken cancellation)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await using var scope = scopes.CreateAsyncScope();
                await scope.ServiceProvider.GetRequiredService<PipelineInbox>().ReceiveAsync(pipeline, messages, cancellation);
                return;
            }
            catch (Exception error) when (!Transience.IsTransient(error) && !cancellation.IsCancellationRequested)
            {
                if (attempt < Tries)
                    continue;
                log.LogError(error, "Messages of pipeline {Pipeline} cannot be processed", pipeline);
                await BreakAsync(pipeline, $"the registry cannot make use of what a worker said: {ServerPaths.Hide(error.GetBaseException().Message)}", cancellation);
                throw;
            }
        }
    }

    private async Task BreakAsync(Guid pipeline, string reason, CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        await scope.ServiceProvider.GetRequiredService<PipelineInbox>().ApplyAsync(pipeline, new PipelineEvent.Broken(reason), cancellation);
    }
}

/// <summary>A message cannot be made use of: it goes to the error queue at once.</summary>
internal sealed class PoisonException(Exception inner) : Exception(inner.Message, inner);
