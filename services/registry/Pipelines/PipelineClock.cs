using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Qbb.Hosting;
using Qbb.Hosting.Bus;
using Qbb.Registry.Data;
using Qbb.Registry.Pipelines.Machine;
using Qbb.Registry.Pipelines.Stages;

namespace Qbb.Registry.Pipelines;

/// <summary>
/// What no message brings: units are sent again when their time has come, and what is outstanding where it may be lost: after a start with the
/// transport in memory, and with a broker whose queue is empty although a pipeline has been silent for long. A unit that waits behind others is in
/// its queue, or in the outbox until its turn comes, however long that takes.
/// </summary>
internal sealed class PipelineClock(
    IServiceScopeFactory scopes, PipelineMeter meter, IOptions<PipelineOptions> options, IHostApplicationLifetime lifetime, TimeProvider clock,
    ILogger<PipelineClock> log, BrokerQueues? queues = null) : BackgroundService
{
    private const int LongestBackoff = 5;
    private static readonly TimeSpan s_tick = TimeSpan.FromSeconds(0.5);
    private static readonly TimeSpan s_measure = TimeSpan.FromSeconds(10);
    private readonly Dictionary<Guid, DateTimeOffset> _looked = [];
    private DateTimeOffset _measured;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await lifetime.ApplicationStarted.WhenCancelledAsync(stoppingToken);
        var (isResumed, failures) = (queues is not null, 0);
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                if (!isResumed)
                    await ResumeAsync(await FindAsync((_, pipelines) => pipelines, stoppingToken), stoppingToken);
                isResumed = true;
                await SendDueAsync(stoppingToken);
                await MeasureAsync(stoppingToken);
                if (queues is not null)
                    await ResumeSilentAsync(queues, stoppingToken);
                failures = 0;
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                failures++;
                log.LogWarning("Pipeline check failed, retrying: {Reason}", error.GetBaseException().Message);
            }
            await Task.Delay(failures == 0 ? s_tick : Backoff.After(Math.Min(failures, LongestBackoff)), clock, stoppingToken);
        }
    }

    /// <summary>Sends what is outstanding of silent pipelines again, if the queue of their stage is empty: then nobody else is before them.</summary>
    private async Task ResumeSilentAsync(BrokerQueues broker, CancellationToken cancellation)
    {
        var since = clock.GetUtcNow() - TimeSpan.FromMinutes(options.Value.SilenceMinutes);
        var silent = (await FindAsync((context, pipelines) => pipelines.Where(pipeline => pipeline.ActiveAt < since
                && !context.Outbox.Any(message => message.PipelineId == pipeline.Id && message.Queue != null && message.Error == null)), cancellation))
            .Where(pipeline => !_looked.TryGetValue(pipeline.Id, out var last) || last < since).ToList();
        if (silent.Count == 0)
            return;
        var depths = await broker.DepthsAsync(cancellation);
        silent.ForEach(pipeline => _looked[pipeline.Id] = clock.GetUtcNow());
        await ResumeAsync(silent.Where(pipeline => UnitStages.Of(pipeline.Kind).Queue is { } queue && depths[queue].Messages == 0), cancellation);
    }

    private async Task ResumeAsync(IEnumerable<(Guid Id, UnitKind Kind)> pipelines, CancellationToken cancellation)
    {
        foreach (var (pipeline, _) in pipelines)
        {
            log.LogInformation("Sending the outstanding units of pipeline {Pipeline} again", pipeline);
            await ApplyAsync(pipeline, new PipelineEvent.Resumed(), cancellation);
        }
    }

    private async Task SendDueAsync(CancellationToken cancellation)
    {
        var now = clock.GetUtcNow();
        await using var scope = scopes.CreateAsyncScope();
        var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
        var due = await context.Units.AsNoTracking()
            .Where(unit => unit.DueAt <= now && unit.Status == UnitStatus.Waiting)
            .Join(context.Pipelines.Where(pipeline => pipeline.Status == PipelineStatus.Running), unit => unit.PipelineId, pipeline => pipeline.Id, (unit, pipeline) => pipeline.Id)
            .Distinct().ToListAsync(cancellation);
        foreach (var pipeline in due)
            await ApplyAsync(pipeline, new PipelineEvent.UnitsDue(), cancellation);
    }

    private async Task MeasureAsync(CancellationToken cancellation)
    {
        if (clock.GetUtcNow() - _measured < s_measure)
            return;
        await using var scope = scopes.CreateAsyncScope();
        var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
        var counts = await context.Units.Where(unit => unit.Status != UnitStatus.Done)
            .Join(context.Pipelines.Where(pipeline => pipeline.Status == PipelineStatus.Running), unit => unit.PipelineId, pipeline => pipeline.Id, (unit, pipeline) => unit.Kind)
            .GroupBy(kind => kind).Select(kind => new { kind.Key, Count = kind.Count() }).ToDictionaryAsync(kind => kind.Key, kind => kind.Count, cancellation);
        meter.Measure(counts);
        _measured = clock.GetUtcNow();
    }

    private async Task<List<(Guid Id, UnitKind Kind)>> FindAsync(
        Func<RegistryContext, IQueryable<Pipeline>, IQueryable<Pipeline>> condition, CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
        var found = await condition(context, context.Pipelines.AsNoTracking().Where(pipeline => pipeline.Status == PipelineStatus.Running))
            .Select(pipeline => new { pipeline.Id, pipeline.Kind }).ToListAsync(cancellation);
        return [.. found.Select(pipeline => (pipeline.Id, pipeline.Kind))];
    }

    private async Task ApplyAsync(Guid pipeline, PipelineEvent happened, CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        await scope.ServiceProvider.GetRequiredService<PipelineInbox>().ApplyAsync(pipeline, happened, cancellation);
    }
}
