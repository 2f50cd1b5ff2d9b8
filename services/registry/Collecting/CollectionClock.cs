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
        using var timer = new PeriodicTimer(s_tick, clock);
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
                if (options.Value.CollectHours == 0 || !await ClaimAsync(context, clock.GetUtcNow(), TimeSpan.FromHours(options.Value.CollectHours), stoppingToken))
                    continue;
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

    /// <summary>Whether it is this process's turn to collect: of all that share the database one does, and restarts do not begin the time anew.</summary>
    internal static async Task<bool> ClaimAsync(RegistryContext context, DateTimeOffset now, TimeSpan every, CancellationToken cancellation)
    {
        const string Name = "collection";
        var before = now - every;
        var marks = context.Set<Mark>();
        if (await marks.Where(mark => mark.Name == Name && mark.CreatedAt <= before)
            .ExecuteUpdateAsync(mark => mark.SetProperty(row => row.CreatedAt, now), cancellation) > 0)
        {
            return true;
        }
        if (await marks.AnyAsync(mark => mark.Name == Name, cancellation))
            return false;
        var first = marks.Add(new Mark { Name = Name, CreatedAt = now });
        try
        {
            await context.SaveChangesAsync(cancellation);
        }
        catch (DbUpdateException error) when (Transience.IsDuplicate(error, "marks"))
        {
            // Another registry was quicker.
            first.State = EntityState.Detached;
        }
        return false;
    }

    // Of a pipeline that succeeded long ago the units are of no more use; a failed one may still be tried again.
    private Task<int> ForgetUnitsAsync(RegistryContext context, CancellationToken cancellation)
    {
        var before = clock.GetUtcNow() - s_units;
        var done = context.Pipelines.Where(pipeline => pipeline.Status == PipelineStatus.Succeeded && pipeline.EndedAt < before);
        return context.Units.Where(unit => done.Any(pipeline => pipeline.Id == unit.PipelineId)).ExecuteDeleteAsync(cancellation);
    }
}
