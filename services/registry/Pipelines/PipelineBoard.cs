using System.Runtime.CompilerServices;
using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Messaging;

namespace Qbb.Registry.Pipelines;

/// <summary>
/// The pipelines that run and those that somebody watches, read at most once in two seconds for all who look: a hundred open pages cost the
/// database what one costs.
/// </summary>
internal sealed class PipelineBoard(IServiceScopeFactory scopes, TimeProvider clock, QueueMeter? meter = null)
{
    private static readonly TimeSpan s_between = TimeSpan.FromSeconds(2);
    private readonly Lock _lock = new();
    private readonly Dictionary<Guid, int> _watched = [];
    private Task<PipelineSnapshot>? _next;
    private DateTimeOffset? _readAt;
    private volatile PipelineSnapshot? _last;

    /// <summary>A state at most two seconds old.</summary>
    public Task<PipelineSnapshot> CurrentAsync(CancellationToken cancellation)
    {
        lock (_lock)
            return _last is { } last && clock.GetUtcNow() - last.Time < s_between ? Task.FromResult(last) : Next().WaitAsync(cancellation);
    }

    /// <summary>A pipeline, and again whenever it has changed, until it has ended.</summary>
    /// <param name="first">What is known of it.</param>
    /// <param name="cancellation">Ends it.</param>
    public async IAsyncEnumerable<PipelineView> WatchAsync(PipelineView first, [EnumeratorCancellation] CancellationToken cancellation)
    {
        yield return first;
        Count(first.Id, 1);
        try
        {
            for (var last = first; !last.State.HasEnded();)
            {
                if (await NextAsync(cancellation) is not { } snapshot)
                    continue;
                if (!snapshot.Pipelines.TryGetValue(last.Id, out var now))
                {
                    // It was removed, or the state was on its way already when this watch began.
                    if (snapshot.Watched.Contains(last.Id))
                        yield break;
                    continue;
                }
                if (!IsSame(last, now))
                    yield return now;
                last = now;
            }
        }
        finally
        {
            Count(first.Id, -1);
        }
    }

    /// <summary>The next state; null where the database is away at the moment.</summary>
    private async Task<PipelineSnapshot?> NextAsync(CancellationToken cancellation)
    {
        try
        {
            Task<PipelineSnapshot> next;
            lock (_lock)
                next = Next();
            return await next.WaitAsync(cancellation);
        }
        catch (Exception error) when (Transience.IsTransient(error) && !cancellation.IsCancellationRequested)
        {
            return null;
        }
    }

    private Task<PipelineSnapshot> Next() => _next ??= ReadAsync(_readAt + s_between);

    private async Task<PipelineSnapshot> ReadAsync(DateTimeOffset? notBefore)
    {
        // Whoever looks meanwhile waits for the same state.
        await Task.Yield();
        try
        {
            if (notBefore - clock.GetUtcNow() is { } wait && wait > TimeSpan.Zero)
                await Task.Delay(wait, clock);
            HashSet<Guid> watched;
            var now = clock.GetUtcNow();
            lock (_lock)
                (watched, _readAt) = ([.. _watched.Keys], now);
            await using var scope = scopes.CreateAsyncScope();
            var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
            var rows = await PipelineRow.ReadAsync(
                context, context.Pipelines.Where(pipeline => pipeline.Status == PipelineStatus.Running || watched.Contains(pipeline.Id)), CancellationToken.None);
            var queues = new PipelineQueues(rows.Select(row => (row.Pipeline, row.Queued)), queue => meter?.WorkersOf(queue) ?? 1);
            return _last = new PipelineSnapshot(now, rows.ToDictionary(row => row.Pipeline.Id, row => row.View(queues, now)), watched, queues);
        }
        finally
        {
            lock (_lock)
                _next = null;
        }
    }

    private void Count(Guid id, int change)
    {
        lock (_lock)
        {
            _watched[id] = _watched.GetValueOrDefault(id) + change;
            if (_watched[id] == 0)
                _watched.Remove(id);
        }
    }

    private static bool IsSame(PipelineView last, PipelineView now) =>
        (last.State, last.Stage, last.Done, last.Total, last.Error, last.Ahead) == (now.State, now.Stage, now.Done, now.Total, now.Error, now.Ahead);
}

/// <summary>What <see cref="PipelineBoard"/> read.</summary>
/// <param name="Time">When.</param>
/// <param name="Pipelines">Those that run, and those that were watched.</param>
/// <param name="Watched">The ids of the latter.</param>
/// <param name="Queues">The work that waits.</param>
internal sealed record PipelineSnapshot(
    DateTimeOffset Time, IReadOnlyDictionary<Guid, PipelineView> Pipelines, IReadOnlySet<Guid> Watched, PipelineQueues Queues);
