using System.Diagnostics.Metrics;
using Microsoft.EntityFrameworkCore;
using Qbb.Hosting;
using Qbb.Hosting.Bus;
using Qbb.Hosting.Telemetry;
using Qbb.Registry.Data;

namespace Qbb.Registry.Messaging;

/// <summary>How full queues, outbox and store are, looked at now and then: for metrics, and for what scales workers by them.</summary>
internal sealed class QueueMeter : BackgroundService
{
    private static readonly TimeSpan s_look = TimeSpan.FromSeconds(5);
    private readonly IServiceScopeFactory _scopes;
    private readonly IHostApplicationLifetime _lifetime;
    private readonly TimeProvider _clock;
    private readonly ILogger<QueueMeter> _log;
    private readonly BrokerQueues? _queues;
    private volatile IReadOnlyDictionary<string, QueueDepth> _depths = new Dictionary<string, QueueDepth>();
    private long _refused;
    private long _stored;

    public QueueMeter(
        IMeterFactory factory, IServiceScopeFactory scopes, IHostApplicationLifetime lifetime, TimeProvider clock, ILogger<QueueMeter> log, BrokerQueues? queues = null)
    {
        (_scopes, _lifetime, _clock, _log, _queues) = (scopes, lifetime, clock, log, queues);
        var meter = factory.Create(TelemetryExtensions.Source);
        meter.CreateObservableGauge("qbb.queue.messages", () => Measure(depth => depth.Messages), description: "Messages that no consumer has in hand");
        meter.CreateObservableGauge("qbb.queue.consumers", () => Measure(depth => depth.Consumers), description: "Consumers that are connected");
        meter.CreateObservableGauge("qbb.queue.errors", () => Measure(depth => depth.Failed), description: "Messages in error queues");
        meter.CreateObservableGauge("qbb.outbox.refused", () => Interlocked.Read(ref _refused), description: "Messages that cannot be sent and are set aside");
        meter.CreateObservableGauge("qbb.versions.size", () => Interlocked.Read(ref _stored), "By", "Files of all versions; those that several have count once");
    }

    /// <summary>The depths at the last look; empty with the transport in memory.</summary>
    public IReadOnlyDictionary<string, QueueDepth> Depths
    {
        get => _depths;
        set => _depths = value;
    }

    /// <summary>The workers of a queue, as far as is known: one, where none was seen.</summary>
    public int WorkersOf(string queue) => Math.Max(1, (int)_depths.GetValueOrDefault(queue).Consumers);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await _lifetime.ApplicationStarted.WhenCancelledAsync(stoppingToken);
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                if (_queues is not null)
                    _depths = await _queues.DepthsAsync(stoppingToken);
                await using var scope = _scopes.CreateAsyncScope();
                var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
                Interlocked.Exchange(ref _refused, await context.Outbox.LongCountAsync(message => message.Error != null, stoppingToken));
                Interlocked.Exchange(ref _stored, await context.Files.Select(file => new { file.Digest, file.Size }).Distinct().SumAsync(file => file.Size, stoppingToken));
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                _log.LogDebug("Queues cannot be looked at: {Reason}", error.Message);
            }
            await Task.Delay(s_look, _clock, stoppingToken);
        }
    }

    private IEnumerable<Measurement<long>> Measure(Func<QueueDepth, uint> figure) =>
        _depths.Select(queue => new Measurement<long>(figure(queue.Value), new KeyValuePair<string, object?>("queue", queue.Key)));
}
