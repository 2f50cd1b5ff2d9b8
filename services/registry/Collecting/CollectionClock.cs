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
                if (options.Value.CollectHours > 0 && await scope.ServiceProvider.GetRequiredService<Collector>().RunIfDueAsync(
                    CollectionLimits.Of(options.Value), TimeSpan.FromHours(options.Value.CollectHours), stoppingToken) is { } report)
                {
                    log.LogInformation("Collected {Blobs} blobs, {Bytes} bytes", report.Blobs, report.Bytes);
                }
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

/// <summary>Whose turn it is to collect, and when that was done last: of all registries that share a database one collects at a time.</summary>
internal sealed class CollectionTurns(RegistryContext context, TimeProvider clock)
{
    private const string Done = "collection";
    private const string Running = "collecting";

    // A turn that is not extended was its process's last.
    private static readonly TimeSpan s_turn = TimeSpan.FromMinutes(5);

    /// <summary>When a collection ended last, or the first registry of the database started; null before.</summary>
    public async Task<DateTimeOffset?> LastAsync(CancellationToken cancellation) => await FindAsync(Done, cancellation);

    /// <summary>Whether a collection is under way.</summary>
    public async Task<bool> IsTakenAsync(CancellationToken cancellation) => await FindAsync(Running, cancellation) > clock.GetUtcNow();

    /// <summary>Whether the last collection was so long ago. The time counts from the first start on.</summary>
    public async Task<bool> IsDueAsync(TimeSpan every, CancellationToken cancellation)
    {
        if (await LastAsync(cancellation) is { } last)
            return last <= clock.GetUtcNow() - every;
        await TryAddAsync(Done, clock.GetUtcNow(), cancellation);
        return false;
    }

    /// <summary>Takes the turn; false where another has it.</summary>
    public async Task<bool> TryTakeAsync(CancellationToken cancellation)
    {
        var (now, until) = (clock.GetUtcNow(), clock.GetUtcNow() + s_turn);
        return await context.Set<Mark>().Where(mark => mark.Name == Running && mark.CreatedAt <= now)
                .ExecuteUpdateAsync(mark => mark.SetProperty(row => row.CreatedAt, until), cancellation) > 0
            || (await FindAsync(Running, cancellation) is null && await TryAddAsync(Running, until, cancellation));
    }

    /// <summary>Keeps the turn for a while longer.</summary>
    public Task ExtendAsync(CancellationToken cancellation) => SetAsync(Running, clock.GetUtcNow() + s_turn, cancellation);

    /// <summary>Gives the turn back.</summary>
    /// <param name="isDone">The collection came to its end: the time to the next begins.</param>
    public async Task EndAsync(bool isDone)
    {
        if (isDone && await SetAsync(Done, clock.GetUtcNow(), CancellationToken.None) == 0)
            await TryAddAsync(Done, clock.GetUtcNow(), CancellationToken.None);
        await SetAsync(Running, clock.GetUtcNow(), CancellationToken.None);
    }

    private Task<DateTimeOffset?> FindAsync(string name, CancellationToken cancellation) =>
        context.Set<Mark>().Where(mark => mark.Name == name).Select(mark => (DateTimeOffset?)mark.CreatedAt).FirstOrDefaultAsync(cancellation);

    private Task<int> SetAsync(string name, DateTimeOffset time, CancellationToken cancellation) =>
        context.Set<Mark>().Where(mark => mark.Name == name).ExecuteUpdateAsync(mark => mark.SetProperty(row => row.CreatedAt, time), cancellation);

    private async Task<bool> TryAddAsync(string name, DateTimeOffset time, CancellationToken cancellation)
    {
        var added = context.Add(new Mark { Name = name, CreatedAt = time });
        try
        {
            await context.SaveChangesAsync(cancellation);
            return true;
        }
        catch (DbUpdateException error) when (Transience.IsDuplicate(error, "marks"))
        {
            // Another registry was quicker.
            return false;
        }
        finally
        {
            added.State = EntityState.Detached;
        }
    }
}
