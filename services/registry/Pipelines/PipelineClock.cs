using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Qbb.Hosting;
using Qbb.Registry.Data;
using Qbb.Registry.Messaging;
using Qbb.Registry.Pipelines.Machine;

namespace Qbb.Registry.Pipelines;

/// <summary>
/// What no message brings: after a start the outstanding units are sent again, waiting units when their time has come, and those of a
/// pipeline that has been silent for long.
/// </summary>
internal sealed class PipelineClock(
    IServiceScopeFactory scopes, PipelineMeter meter, IOptions<PipelineOptions> options, IHostApplicationLifetime lifetime, TimeProvider clock,
    ILogger<PipelineClock> log)
    : BackgroundService
{
    private static readonly TimeSpan s_tick = TimeSpan.FromSeconds(0.5);
    private static readonly TimeSpan s_measure = TimeSpan.FromSeconds(10);
    private readonly Dictionary<Guid, DateTimeOffset> _resumed = [];
    private DateTimeOffset _measured;
    private bool _hasStarted;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await lifetime.ApplicationStarted.WhenCancelledAsync(stoppingToken);
        using var timer = new PeriodicTimer(s_tick);
        do
        {
            try
            {
                if (!_hasStarted)
                    await ResumeAsync(silentSince: null, stoppingToken);
                _hasStarted = true;
                await SendDueAsync(stoppingToken);
                await ResumeAsync(clock.GetUtcNow() - TimeSpan.FromMinutes(options.Value.SilenceMinutes), stoppingToken);
                await MeasureAsync(stoppingToken);
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                log.LogWarning("Pipeline check failed, retrying: {Reason}", error.GetBaseException().Message);
            }
        }
        while (await timer.WaitForNextTickAsync(stoppingToken));
    }

    private async Task ResumeAsync(DateTimeOffset? silentSince, CancellationToken cancellation)
    {
        var running = await FindAsync(
            pipelines => pipelines.Where(pipeline => silentSince == null || pipeline.ActiveAt < silentSince), cancellation);
        foreach (var pipeline in running.Where(id => !_resumed.TryGetValue(id, out var last) || last < silentSince))
        {
            log.LogInformation("Sending the outstanding units of pipeline {Pipeline} again", pipeline);
            await ApplyAsync(pipeline, new PipelineEvent.Resumed(), cancellation);
            _resumed[pipeline] = clock.GetUtcNow();
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

    private async Task<List<Guid>> FindAsync(Func<IQueryable<Pipeline>, IQueryable<Pipeline>> condition, CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
        return await condition(context.Pipelines.AsNoTracking().Where(pipeline => pipeline.Status == PipelineStatus.Running))
            .Select(pipeline => pipeline.Id).ToListAsync(cancellation);
    }

    private async Task ApplyAsync(Guid pipeline, PipelineEvent happened, CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        await scope.ServiceProvider.GetRequiredService<PipelineInbox>().ApplyAsync(pipeline, happened, cancellation);
    }
}
