using System.Diagnostics;
using System.Diagnostics.Metrics;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Qbb.Contracts;
using Qbb.Hosting.Telemetry;
using Qbb.Registry.Data;
using Qbb.Registry.Messaging;
using Qbb.Registry.Pipelines.Machine;
using Qbb.Registry.Pipelines.Stages;
using static Qbb.Registry.Pipelines.Machine.PipelineEvent;

namespace Qbb.Registry.Pipelines;

/// <summary>
/// Applies events to a pipeline's rows inside the caller's transaction: what <see cref="PipelineMachine"/> decides, its commands into the
/// outbox, and what its end means for the pipelines that follow it.
/// </summary>
internal sealed class PipelineRunner(
    RegistryContext context, PublishSignal publish, PipelineMeter meter, IOptions<PipelineOptions> options,
    TimeProvider clock, ILogger<PipelineRunner> log)
{
    private readonly PipelineLimits _limits = options.Value.Limits;
    private readonly List<(Pipeline Before, Decision Decision)> _decisions = [];
    private readonly Dictionary<Guid, RecipeParts> _recipes = [];
    private readonly List<PipelineUnit> _added = [];
    private readonly List<OutboxMessage> _messages = [];

    /// <summary>Counts metrics; to be called when the transaction is committed, since one that is undone did nothing.</summary>
    public void Committed()
    {
        foreach (var (before, decision) in _decisions)
        {
            meter.Count(before, decision);
            if (decision.Pipeline.Status != before.Status)
                log.LogInformation("Pipeline {Pipeline} of {Model} is {Status}", before.Id, before.ModelName, Wire.NameOf(decision.Pipeline.Status));
        }
        if (_decisions.Any(made => made.Decision.Publish))
            publish.Set();
        _decisions.Clear();
    }

    /// <summary>Applies events in their order.</summary>
    /// <returns>The state after them; null where there is no such pipeline.</returns>
    public async Task<Pipeline?> ApplyAsync(Guid id, IReadOnlyList<PipelineEvent> events, CancellationToken cancellation)
    {
        if (await context.LockPipelineAsync(id, cancellation) is not { } row)
            return null;
        using var span = SpanOf("pipeline advance", row);
        var units = await FindUnitsAsync(id, events, cancellation);
        // Apart from the row, which Entity Framework compares column by column: once is enough for all events.
        var state = row with { };
        foreach (var happened in events)
            state = await StepAsync(row, state, units, happened, cancellation);
        await SaveAsync(row, state, cancellation);
        return row;
    }

    /// <summary>A span in the pipeline's trace, wherever it is continued: a batch of messages, or a clock, has another trace or none.</summary>
    public static Activity? SpanOf(string name, Pipeline row)
    {
        var isInTrace = Activity.Current is { } current && row.TraceParent?.Contains(current.TraceId.ToHexString(), StringComparison.Ordinal) == true;
        return TelemetryExtensions.Spans.StartActivity(name, ActivityKind.Internal, isInTrace ? Activity.Current!.Id : row.TraceParent)?.SetTag(TelemetryExtensions.PipelineTag, row.Id);
    }

    private async Task<Pipeline> StepAsync(
        Pipeline row, Pipeline state, Dictionary<string, PipelineUnit> units, PipelineEvent happened, CancellationToken cancellation)
    {
        // What is sent again is not to wait here a second time.
        if (happened is Resumed)
            await context.Outbox.Where(message => message.PipelineId == row.Id && message.Queue != null && message.Error == null).ExecuteDeleteAsync(cancellation);
        var concerned = await ConcernedAsync(state, units, happened, cancellation);
        var decision = PipelineMachine.Advance(state, concerned, happened, _limits, clock.GetUtcNow());
        _decisions.Add((state, decision));
        await AddAsync(row, decision, concerned, cancellation);
        if (decision.Pipeline.HasEnded && !ReferenceEquals(decision.Pipeline, state))
            await EndAsync(row, decision.Pipeline, cancellation);
        return decision.Pipeline;
    }

    // Rows that exist are changed first, since commands of later kinds are made of their results.
    private async Task AddAsync(Pipeline row, Decision decision, IReadOnlyList<PipelineUnit> concerned, CancellationToken cancellation)
    {
        var known = concerned.ToDictionary(unit => (unit.Kind, unit.Index));
        var added = new Dictionary<UnitOrder, PipelineUnit>();
        foreach (var unit in decision.Units)
        {
            if (known.TryGetValue((unit.Kind, unit.Index), out var tracked))
                context.Entry(tracked).CurrentValues.SetValues(unit);
            else
                added[new UnitOrder(unit.Kind, unit.Index)] = unit;
        }
        if (decision.Orders.Count == 0)
            return;
        var state = decision.Pipeline;
        if (!_recipes.TryGetValue(state.Id, out var recipe))
            _recipes[state.Id] = recipe = new RecipeParts(PipelineRecipe.Parse(state.RecipeJson));
        var stage = UnitStages.Of(decision.Orders[0].Kind);
        var parts = await PartsAsync(row, state, stage, cancellation);
        foreach (var order in decision.Orders)
        {
            var command = stage.CommandOf(new UnitInput(state, recipe, order.Index, parts));
            _messages.Add(Outbox.Write(command, state.Id, stage.Queue));
            if (added.TryGetValue(order, out var unit))
                _added.Add(unit with { Key = command.Unit.Value, Command = UnitCommands.Write(command).ToJsonString() });
        }
    }

    private async Task<IReadOnlyList<Digest>> PartsAsync(Pipeline row, Pipeline state, UnitStage stage, CancellationToken cancellation)
    {
        if (stage.PartsOf(state) is not { } source)
            return [];
        await SaveAsync(row, state, cancellation);
        var results = await context.Units.AsNoTracking()
            .Where(unit => unit.PipelineId == state.Id && unit.Kind == source && unit.Result != null)
            .OrderBy(unit => unit.Index).Select(unit => unit.Result).ToListAsync(cancellation);
        return [.. results.Select(Digest.Parse)];
    }

    private Task SaveAsync(Pipeline row, Pipeline state, CancellationToken cancellation)
    {
        context.Entry(row).CurrentValues.SetValues(state);
        var (added, messages) = (_added.ToArray(), _messages.ToArray());
        _added.Clear();
        _messages.Clear();
        return context.SaveAsync(added, messages, cancellation);
    }

    private async Task EndAsync(Pipeline row, Pipeline state, CancellationToken cancellation)
    {
        if (state.Status != PipelineStatus.Succeeded)
            _messages.Add(Outbox.Write(new PipelineCancelled(state.Id, state.Epoch), state.Id));
        await SaveAsync(row, state, cancellation);
        var followers = await context.Pipelines.AsNoTracking()
            .Where(other => other.LeaderId == state.Id && other.Status == PipelineStatus.Following)
            .OrderBy(other => other.CreatedAt).ThenBy(other => other.Id).Select(other => other.Id).ToListAsync(cancellation);
        if (state.Status != PipelineStatus.Cancelled)
        {
            foreach (var follower in followers)
                await ApplyAsync(follower, [new LeaderEnded(state)], cancellation);
            return;
        }
        // Whoever cancelled this one did not cancel the others: the first of them continues, and the rest follow it.
        foreach (var follower in followers)
            await ApplyAsync(follower, [follower == followers[0] ? new Started() : new Followed(followers[0])], cancellation);
    }

    private async Task<Dictionary<string, PipelineUnit>> FindUnitsAsync(
        Guid id, IReadOnlyList<PipelineEvent> events, CancellationToken cancellation)
    {
        var keys = events.Select(KeyOf).OfType<string>().Distinct().ToList();
        if (keys.Count == 0)
            return [];
        // What also looks for a key of null searches all of the pipeline's units on PostgreSQL.
        var found = await context.Units.Where(unit => unit.PipelineId == id && unit.Key != null && keys.Contains(unit.Key)).ToListAsync(cancellation);
        // Two units of one pipeline never ask for the same, but an older row must not stop a newer one either.
        return found.GroupBy(unit => unit.Key!).ToDictionary(same => same.Key, same => same.Last());
    }

    private async Task<IReadOnlyList<PipelineUnit>> ConcernedAsync(
        Pipeline state, Dictionary<string, PipelineUnit> units, PipelineEvent happened, CancellationToken cancellation)
    {
        if (KeyOf(happened) is { } key)
            return units.TryGetValue(key, out var unit) ? [unit] : [];
        if (happened is not (Started or Resumed or Retried or UnitsDue))
            return [];
        return await context.Units.Where(unit => unit.PipelineId == state.Id && unit.Kind == state.Kind && unit.Status != UnitStatus.Done)
            .OrderBy(unit => unit.Index).ToListAsync(cancellation);
    }

    private static string? KeyOf(PipelineEvent happened) => happened switch
    {
        UnitDone done => done.Unit,
        PipelineEvent.UnitFailed failed => failed.Unit,
        _ => null,
    };
}

/// <summary>What the pipelines have done, for whoever collects metrics.</summary>
internal sealed class PipelineMeter
{
    private readonly Counter<long> _units;
    private readonly Counter<long> _ended;
    private IReadOnlyDictionary<UnitKind, int> _outstanding = new Dictionary<UnitKind, int>();

    public PipelineMeter(IMeterFactory factory)
    {
        var meter = factory.Create(TelemetryExtensions.Source);
        _units = meter.CreateCounter<long>("qbb.units", description: "Units of work that were done or failed, each try of one");
        _ended = meter.CreateCounter<long>("qbb.pipelines.ended", description: "Pipelines that ended");
        meter.CreateObservableGauge("qbb.units.outstanding", Outstanding, description: "Units of running pipelines that are queued, run or wait for their next attempt");
    }

    /// <summary>Takes a new count of outstanding units.</summary>
    public void Measure(IReadOnlyDictionary<UnitKind, int> outstanding) => _outstanding = outstanding;

    // Every stage that workers do has a series, with 0 where nothing is outstanding.
    private IEnumerable<Measurement<int>> Outstanding() => UnitStages.All.Where(stage => stage.Queue is not null)
        .Select(stage => new Measurement<int>(_outstanding.GetValueOrDefault(stage.UnitKind), new KeyValuePair<string, object?>("stage", $"{stage.UnitKind}")));

    /// <summary>Counts what a decision changes.</summary>
    public void Count(Pipeline before, Decision decision)
    {
        foreach (var unit in decision.Units)
        {
            if (unit.Status is UnitStatus.Done or UnitStatus.Waiting)
                _units.Add(1, new("stage", $"{unit.Kind}"), new("outcome", unit.Status == UnitStatus.Done ? "done" : "failed"));
        }
        if (decision.Pipeline.HasEnded && !before.HasEnded)
            _ended.Add(1, new KeyValuePair<string, object?>("state", Wire.NameOf(decision.Pipeline.Status)));
    }
}
