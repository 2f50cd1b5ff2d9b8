using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Qbb.Hosting.Bus;
using Qbb.Registry.Data;
using Qbb.Registry.Messaging;
using Qbb.Registry.Pipelines.Stages;

namespace Qbb.Registry.Pipelines;

/// <summary>The work that one running pipeline has for the workers of its current kind.</summary>
/// <param name="Id">The pipeline.</param>
/// <param name="Queue">Whose workers.</param>
/// <param name="Queued">Units whose commands are still here.</param>
/// <param name="Sent">Units that the workers have, at hand or in their queue.</param>
/// <param name="UnitSeconds">What one of them is expected to take.</param>
/// <param name="ActiveAt">When one of them was last done, or the kind began.</param>
internal sealed record Backlog(Guid Id, string Queue, int Queued, int Sent, double UnitSeconds, DateTimeOffset ActiveAt)
{
    /// <summary>What the first unit of a kind is cut to where its worker measures, and what one is taken for of which nothing is known.</summary>
    private const double UsualSeconds = 30, UnknownSeconds = 10;

    /// <param name="pipeline">One that runs.</param>
    /// <param name="queued">Its commands that are not sent.</param>
    /// <param name="waiting">Its units that failed and wait for their next attempt.</param>
    public static Backlog? Of(Pipeline pipeline, int queued, int waiting = 0) => UnitStages.Of(pipeline.Kind).Queue is not { } queue ? null : new Backlog(
        pipeline.Id, queue, queued, Math.Max(0, Outstanding(pipeline) - waiting - queued), SecondsOf(pipeline), pipeline.ActiveAt);

    /// <summary>
    /// When it is the turn of a unit that is not sent: when it would be done if all pipelines of the queue went on side by side, each at an equal share
    /// of a worker. So short ones pass long ones; nothing waits for ever, since those who come later have their turn later.
    /// </summary>
    /// <param name="next">Counted from the first of them, 0.</param>
    /// <param name="sharing">The pipelines of the queue.</param>
    public DateTimeOffset TurnOf(int next, int sharing) => ActiveAt.AddSeconds(sharing * UnitSeconds * (Sent + next + 1));

    // Of a distillation, which counts steps, one round is under way at a time.
    private static int Outstanding(Pipeline pipeline) => pipeline.Kind == DistilStage.Kind ? 1 : Math.Max(0, pipeline.Issued - pipeline.Done);

    private static double SecondsOf(Pipeline pipeline)
    {
        if (pipeline.UnitSeconds is { } measured)
            return measured;
        var (forecast, isTold) = (pipeline.Forecast?[pipeline.Kind] ?? 0, UnitStages.Of(pipeline.Kind).IsTold);
        return forecast > 0 ? Math.Min(forecast / Math.Max(1, pipeline.Total), isTold ? UsualSeconds : double.MaxValue) : UnknownSeconds;
    }
}

/// <summary>Who waits for whose units.</summary>
internal sealed class PipelineQueues
{
    public static readonly PipelineQueues Empty = new([], _ => 1);

    private readonly ILookup<string, (Pipeline Pipeline, Backlog Backlog)> _byQueue;
    private readonly Func<string, int> _workersOf;

    /// <param name="pipelines">With their commands that are not sent.</param>
    /// <param name="workersOf">How many a queue has.</param>
    public PipelineQueues(IEnumerable<(Pipeline Pipeline, int Queued)> pipelines, Func<string, int> workersOf)
    {
        _workersOf = workersOf;
        _byQueue = pipelines.Where(each => each.Pipeline.Status == PipelineStatus.Running)
            .Select(each => (each.Pipeline, Backlog: Backlog.Of(each.Pipeline, each.Queued)))
            .Where(each => each.Backlog is not null).ToLookup(each => each.Backlog!.Queue, each => (each.Pipeline, each.Backlog!));
    }

    /// <summary>The place of a pipeline that waits for the first unit of its current kind; null of one that does not.</summary>
    public QueuePlace? PlaceOf(Pipeline pipeline)
    {
        if (pipeline.Status != PipelineStatus.Running || pipeline.Done > pipeline.Given || UnitStages.Of(pipeline.Kind).Queue is not { } queue)
            return null;
        var own = _byQueue[queue].FirstOrDefault(each => each.Pipeline.Id == pipeline.Id).Backlog;
        var (units, seconds, sharing) = (0, 0.0, _byQueue[queue].Count());
        foreach (var (other, backlog) in _byQueue[queue].Where(each => each.Pipeline.Id != pipeline.Id))
        {
            var before = own is { Sent: 0, Queued: > 0 }
                ? backlog.Sent + Enumerable.Range(0, backlog.Queued).TakeWhile(next => (backlog.TurnOf(next, sharing), backlog.Id).CompareTo((own.TurnOf(0, sharing), own.Id)) < 0).Count()
                // What was sent is done in its order.
                : (other.KindStartedAt, other.Id).CompareTo((pipeline.KindStartedAt, pipeline.Id)) < 0 ? backlog.Sent : 0;
            (units, seconds) = (units + before, seconds + before * backlog.UnitSeconds);
        }
        return new QueuePlace(units, seconds / _workersOf(queue));
    }
}

/// <summary>A place in a queue.</summary>
/// <param name="Units">Those of other pipelines that come before.</param>
/// <param name="Seconds">What they are expected to take the workers.</param>
internal readonly record struct QueuePlace(int Units, double Seconds);

/// <summary>
/// Shares the workers of each queue among the pipelines. The workers have few units at a time, the rest are here, where whatever comes later may still
/// pass them: short units pass long ones, and of equal ones every pipeline's come in turn. What a transport can do plays no part in it.
/// </summary>
internal sealed class CommandTurns(IOptions<PipelineOptions> options, QueueMeter meter) : ICommandTurns
{
    /// <summary>Seconds of work that a worker may have in its queue beside the units that it always may: short ones must not wait for the next look.</summary>
    private const double SecondsPerWorker = 10;

    private IReadOnlyDictionary<string, QueueDepth>? _depths;
    private Dictionary<string, int> _lost = [];

    public async Task<Turns> NextAsync(RegistryContext context, int most, CancellationToken cancellation)
    {
        // Counted, not read: of ten thousand commands a few go at a time.
        var queued = await context.Outbox.Where(message => message.Queue != null && message.Error == null).GroupBy(message => message.PipelineId)
            .Select(commands => new { Pipeline = commands.Key, Count = commands.Count() }).ToListAsync(cancellation);
        if (queued.Count == 0)
            return Turns.None;
        // Pipelines after their commands: one that does not run by now has ended.
        var pipelines = await context.Pipelines.AsNoTracking().Where(pipeline => pipeline.Status == PipelineStatus.Running).ToListAsync(cancellation);
        // A range, which a planner without statistics looks for in the index.
        var waiting = await context.Units.AsNoTracking().Where(unit => unit.DueAt > DateTimeOffset.UnixEpoch && unit.DueAt < DateTimeOffset.MaxValue).GroupBy(unit => unit.PipelineId)
            .Select(units => new { units.Key, Count = units.Count() }).ToDictionaryAsync(units => units.Key, units => units.Count, cancellation);
        var counts = queued.Where(commands => commands.Pipeline is not null).ToDictionary(commands => commands.Pipeline!.Value, commands => commands.Count);
        var backlogs = pipelines.Select(pipeline => Backlog.Of(pipeline, counts.GetValueOrDefault(pipeline.Id), waiting.GetValueOrDefault(pipeline.Id))).OfType<Backlog>().ToList();
        CountLost(backlogs);
        var next = new List<long>();
        foreach (var (pipeline, count) in Choose(backlogs, RoomIn, most).CountBy(id => id))
            next.AddRange(await IdsAsync(context.Outbox.Where(message => message.PipelineId == pipeline).OrderBy(message => message.Id), count));
        var running = backlogs.Select(backlog => (Guid?)backlog.Id).ToHashSet();
        var ended = queued.Select(commands => commands.Pipeline).Where(pipeline => !running.Contains(pipeline)).ToList();
        return new Turns(next, ended.Count == 0 ? [] : await IdsAsync(context.Outbox.Where(message => ended.Contains(message.PipelineId)).OrderBy(message => message.Id)));

        async Task<List<long>> IdsAsync(IQueryable<OutboxMessage> messages, int most = int.MaxValue) =>
            await messages.Where(message => message.Queue != null && message.Error == null).Select(message => message.Id).Take(most).ToListAsync(cancellation);
    }

    /// <summary>The pipelines whose next commands go now, once for each command.</summary>
    /// <param name="backlogs">Of all pipelines that run.</param>
    /// <param name="roomIn">How many units and seconds of work the workers of a queue may have, and how many of theirs are lost.</param>
    /// <param name="most">Commands.</param>
    public static IEnumerable<Guid> Choose(IReadOnlyList<Backlog> backlogs, Func<string, QueueRoom> roomIn, int most)
    {
        var chosen = new List<Guid>();
        foreach (var queue in backlogs.GroupBy(backlog => backlog.Queue))
        {
            var room = roomIn(queue.Key);
            var sharing = queue.Count();
            var (sent, seconds) = (queue.Sum(backlog => backlog.Sent), queue.Sum(backlog => backlog.Sent * backlog.UnitSeconds));
            if (sent > 0)
                (sent, seconds) = (Math.Max(0, sent - room.Lost), seconds * Math.Max(0, sent - room.Lost) / sent);
            var turns = new PriorityQueue<(Backlog Backlog, int Next), (DateTimeOffset, Guid)>(
                queue.Where(backlog => backlog.Queued > 0).Select(backlog => ((backlog, 0), (backlog.TurnOf(0, sharing), backlog.Id))));
            while (chosen.Count < most && turns.TryDequeue(out var turn, out _)
                && (sent < room.Units || seconds + turn.Backlog.UnitSeconds <= room.Seconds))
            {
                (sent, seconds) = (sent + 1, seconds + turn.Backlog.UnitSeconds);
                chosen.Add(turn.Backlog.Id);
                if (turn.Next + 1 < turn.Backlog.Queued)
                    turns.Enqueue((turn.Backlog, turn.Next + 1), (turn.Backlog.TurnOf(turn.Next + 1, sharing), turn.Backlog.Id));
            }
        }
        return chosen;
    }

    private QueueRoom RoomIn(string queue)
    {
        var workers = meter.WorkersOf(queue);
        return new QueueRoom(options.Value.UnitsPerWorker * workers, SecondsPerWorker * workers, _lost.GetValueOrDefault(queue));
    }

    /// <summary>Where a broker has lost messages, as with its disk, nobody else is to wait for them: they are sent again when their pipeline was silent for long.</summary>
    private void CountLost(IReadOnlyList<Backlog> backlogs)
    {
        if (ReferenceEquals(_depths, meter.Depths))
            return;
        _depths = meter.Depths;
        // A consumer has one message in hand.
        _lost = backlogs.GroupBy(backlog => backlog.Queue).Where(queue => _depths.ContainsKey(queue.Key)).ToDictionary(
            queue => queue.Key, queue => Math.Max(0, queue.Sum(backlog => backlog.Sent) - (int)(_depths[queue.Key].Messages + _depths[queue.Key].Consumers)));
    }
}

/// <summary>What the workers of a queue may have.</summary>
/// <param name="Units">So many, however long they take,</param>
/// <param name="Seconds">or so much work, however many units that is.</param>
/// <param name="Lost">Units that count as theirs and that they do not have.</param>
internal readonly record struct QueueRoom(int Units, double Seconds, int Lost = 0);
