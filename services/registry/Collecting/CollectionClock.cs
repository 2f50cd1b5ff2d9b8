using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Qbb.Registry.Data;

namespace Qbb.Registry.Collecting;

/// <summary>Collects now and then, and clears what the inbox and the idempotency keys need no longer remember.</summary>
internal sealed class CollectionClock(
    IServiceScopeFactory scopes, IOptions<RegistryOptions> options, TimeProvider clock, ILogger<CollectionClock> log) : BackgroundService
{
    private static readonly TimeSpan s_tick = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan s_remember = TimeSpan.FromDays(3);
    private static readonly TimeSpan s_units = TimeSpan.FromDays(30);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(s_tick);
        var last = clock.GetUtcNow();
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                await using var scope = scopes.CreateAsyncScope();
                var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
                var before = clock.GetUtcNow() - s_remember;
                await context.Inbox.Where(message => message.ReceivedAt < before).ExecuteDeleteAsync(stoppingToken);
                await context.IdempotentRequests.Where(request => request.CreatedAt < before).ExecuteDeleteAsync(stoppingToken);
                await ForgetUnitsAsync(context, stoppingToken);
                if (options.Value.CollectHours == 0 || clock.GetUtcNow() - last < TimeSpan.FromHours(options.Value.CollectHours))
                    continue;
                last = clock.GetUtcNow();
                var report = await scope.ServiceProvider.GetRequiredService<Collector>()
                    .RunAsync(CollectionLimits.Of(options.Value), dryRun: false, stoppingToken);
                log.LogInformation("Collected {Blobs} blobs, {Bytes} bytes", report.Blobs, report.Bytes);
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                log.LogWarning("Garbage collection postponed: {Reason}", error.GetBaseException().Message);
            }
        }
    }

    // Of a pipeline that succeeded long ago the units are of no more use; a failed one may still be tried again.
    private Task<int> ForgetUnitsAsync(RegistryContext context, CancellationToken cancellation)
    {
        var before = clock.GetUtcNow() - s_units;
        var done = context.Pipelines.Where(pipeline => pipeline.Status == PipelineStatus.Succeeded && pipeline.EndedAt < before);
        return context.Units.Where(unit => done.Any(pipeline => pipeline.Id == unit.PipelineId)).ExecuteDeleteAsync(cancellation);
    }
}
