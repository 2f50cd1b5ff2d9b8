using Microsoft.EntityFrameworkCore;
using Qbb.Hosting;
using Qbb.Hosting.Bus;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Messaging;
using Qbb.Registry.Pipelines.Machine;
using Qbb.Registry.Pipelines.Stages;

namespace Qbb.Registry.Pipelines;

/// <summary>
/// Publishes the pipelines whose work is done. The rows say which, so that a restart forgets none; a store or database that is away is tried again,
/// for as long as it takes.
/// </summary>
internal sealed class PublishClock(
    IServiceScopeFactory scopes, PublishSignal signal, IHostApplicationLifetime lifetime, TimeProvider clock, ILogger<PublishClock> log) : BackgroundService
{
    // An error that does not pass fails its pipeline after so many tries.
    private const int Tries = 3;
    private static readonly TimeSpan s_poll = TimeSpan.FromSeconds(1);
    private readonly Dictionary<Guid, (int Tries, DateTimeOffset Due)> _waits = [];

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await lifetime.ApplicationStarted.WhenCancelledAsync(stoppingToken);
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                foreach (var pipeline in await FindAsync(stoppingToken))
                    await TryAsync(pipeline, stoppingToken);
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                log.LogWarning("Publishing failed, retrying: {Reason}", error.GetBaseException().Message);
            }
            await signal.WaitAsync(s_poll, clock, stoppingToken);
        }
    }

    private async Task<IReadOnlyList<Guid>> FindAsync(CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var ids = await scope.ServiceProvider.GetRequiredService<RegistryContext>().Pipelines.AsNoTracking()
            .Where(pipeline => pipeline.Status == PipelineStatus.Running && pipeline.Kind == PublishStage.Kind)
            .OrderBy(pipeline => pipeline.Id).Select(pipeline => pipeline.Id).ToListAsync(cancellation);
        foreach (var ended in _waits.Keys.Except(ids).ToList())
            _waits.Remove(ended);
        return [.. ids.Where(id => !_waits.TryGetValue(id, out var wait) || wait.Due <= clock.GetUtcNow())];
    }

    private async Task TryAsync(Guid pipeline, CancellationToken cancellation)
    {
        try
        {
            await PublishAsync(pipeline, cancellation);
        }
        catch (Exception error) when (!cancellation.IsCancellationRequested)
        {
            var tries = _waits.GetValueOrDefault(pipeline).Tries + 1;
            _waits[pipeline] = (tries, clock.GetUtcNow() + Backoff.After(tries));
            var reason = $"publish: {ServerPaths.Hide(error.GetBaseException().Message)}";
            var isFinal = !Transience.IsTransient(error) && tries >= Tries;
            if (isFinal)
                log.LogError(error, "Pipeline {Pipeline} cannot be published", pipeline);
            else
                log.LogWarning("Pipeline {Pipeline} is published later: {Reason}", pipeline, reason);
            await using var scope = scopes.CreateAsyncScope();
            await scope.ServiceProvider.GetRequiredService<PipelineInbox>().ApplyAsync(
                pipeline, isFinal ? new PipelineEvent.PublishRefused(reason) : new PipelineEvent.PublishPostponed(reason), cancellation);
        }
    }

    private async Task PublishAsync(Guid id, CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var publisher = scope.ServiceProvider.GetRequiredService<PipelinePublisher>();
        var pipeline = await scope.ServiceProvider.GetRequiredService<RegistryContext>().Pipelines.AsNoTracking()
            .FirstOrDefaultAsync(row => row.Id == id, cancellation);
        if (pipeline?.IsPublishing != true)
            return;
        using var span = PipelineRunner.SpanOf("pipeline publish", pipeline);
        var (manifest, refusal) = await publisher.ReadAsync(pipeline, cancellation);
        // Another registry may have been quicker, or a person cancelled it.
        await scope.ServiceProvider.GetRequiredService<PipelineInbox>().ApplyAsync(id, async row => !row.IsPublishing || row.Artifact != pipeline.Artifact ? null
            : manifest is null ? new PipelineEvent.PublishRefused(refusal!)
            : await publisher.FileAsync(row, manifest, cancellation), cancellation);
    }
}
