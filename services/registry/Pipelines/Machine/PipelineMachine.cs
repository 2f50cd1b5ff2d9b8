using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Pipelines.Stages;
using static Qbb.Registry.Pipelines.Machine.PipelineEvent;
using UnitFailed = Qbb.Registry.Pipelines.Machine.PipelineEvent.UnitFailed;

namespace Qbb.Registry.Pipelines.Machine;

/// <summary>
/// The rules of a pipeline: a pure function of state and event. It knows no bus, no database and no clock. Events may come late, twice or
/// out of order: what does not fit the state changes nothing.
/// </summary>
internal static class PipelineMachine
{
    /// <summary>The next state and what to send.</summary>
    /// <param name="pipeline">The state.</param>
    /// <param name="units">The units that the event is about: the one that is done or failed, the due ones
    /// (<see cref="UnitsDue"/>), all of the current kind that are not done (<see cref="Started"/>, <see cref="Resumed"/>,
    /// <see cref="Retried"/>), else none.</param>
    /// <param name="happened">The event.</param>
    /// <param name="limits">Bounds.</param>
    /// <param name="now">The time.</param>
    public static Decision Advance(
        Pipeline pipeline, IReadOnlyList<PipelineUnit> units, PipelineEvent happened, PipelineLimits limits, DateTimeOffset now)
    {
        var decision = happened switch
        {
            Started when pipeline.Status is PipelineStatus.Created or PipelineStatus.Following
                => Continue(pipeline, Current(pipeline, units), limits, now),
            Followed follow when pipeline.Status is not (PipelineStatus.Running or PipelineStatus.Succeeded) => Follow(pipeline, follow.LeaderId),
            LeaderEnded end when pipeline.Status == PipelineStatus.Following && pipeline.LeaderId == end.Leader.Id
                => TakeOver(pipeline, end.Leader, now),
            UnitDone done when Find(pipeline, units, done.Unit) is { } unit => Finish(pipeline, unit, done.Outcome, limits, now),
            UnitFailed failed when Find(pipeline, units, failed.Unit) is { } unit => Fail(pipeline, unit, failed, limits, now),
            UnitsDue when pipeline.Status == PipelineStatus.Running => SendDue(pipeline, Current(pipeline, units), now),
            Resumed when pipeline.Status == PipelineStatus.Running => SendAgain(pipeline, Current(pipeline, units)),
            Retried { From: { } from } when pipeline.Status is PipelineStatus.Failed or PipelineStatus.Cancelled
                => Begin(Run(Rewind(pipeline, from), now), from, limits, now),
            Retried when pipeline.Status is PipelineStatus.Failed or PipelineStatus.Cancelled
                => Continue(pipeline, Current(pipeline, units), limits, now),
            Cancelled when !pipeline.HasEnded => End(pipeline, PipelineStatus.Cancelled, null, now),
            Broken broken when !pipeline.HasEnded => End(pipeline, PipelineStatus.Failed, broken.Reason, now),
            Published version when pipeline.IsPublishing
                => End(pipeline with { ResultId = version.VersionId, Done = 1 }, PipelineStatus.Succeeded, null, now),
            PublishPostponed postponed when pipeline.IsPublishing && pipeline.Error != postponed.Reason
                => Decision.None(pipeline with { Error = postponed.Reason }),
            PublishRefused refused when pipeline.IsPublishing => End(pipeline, PipelineStatus.Failed, refused.Error, now),
            _ => Decision.None(pipeline),
        };
        return ReferenceEquals(decision.Pipeline, pipeline)
            ? decision
            : decision with { Pipeline = decision.Pipeline with { Revision = pipeline.Revision + 1 } };
    }

    private static Decision Follow(Pipeline pipeline, Guid leader) => Decision.None(
        pipeline with { Status = PipelineStatus.Following, LeaderId = leader, Error = null, EndedAt = null });

    // The same artifact may have to become a version of another model.
    private static Decision TakeOver(Pipeline pipeline, Pipeline leader, DateTimeOffset now) => leader.Status switch
    {
        PipelineStatus.Failed => End(pipeline, PipelineStatus.Failed, leader.Error, now),
        PipelineStatus.Succeeded => new Decision(
            pipeline with
            {
                Status = PipelineStatus.Running,
                Kind = PublishStage.Kind,
                Issued = 0,
                Done = 0,
                Given = 0,
                Total = 1,
                Student = leader.Student,
                Data = leader.Data,
                Filtered = leader.Filtered,
                Checkpoint = leader.Checkpoint,
                Windows = leader.Windows,
                Artifact = leader.Artifact,
                Note = leader.Note,
                KindStartedAt = now,
                ActiveAt = now,
            }, [], [], Publish: true),
        _ => Decision.None(pipeline),
    };

    private static Decision End(Pipeline pipeline, PipelineStatus status, string? error, DateTimeOffset now) => Decision.None(
        pipeline with { Status = status, Error = error, EndedAt = now, ActiveAt = now });

    private static PipelineUnit? Find(Pipeline pipeline, IReadOnlyList<PipelineUnit> units, string key) =>
        pipeline.Status == PipelineStatus.Running ? Current(pipeline, units).FirstOrDefault(unit => unit.Key == key) : null;

    private static IEnumerable<PipelineUnit> Current(Pipeline pipeline, IReadOnlyList<PipelineUnit> units) =>
        units.Where(unit => unit.Kind == pipeline.Kind);

    /// <summary>A unit is done: count it, keep what it made, send what there is room for now.</summary>
    private static Decision Finish(Pipeline pipeline, PipelineUnit unit, UnitOutcome outcome, PipelineLimits limits, DateTimeOffset now)
    {
        if (unit.Status == UnitStatus.Done)
            return Decision.None(pipeline);
        var stage = UnitStages.Of(pipeline.Kind);
        var reason = pipeline.Total == 0 && outcome.Units is not > 0
            ? $"the worker says that there are {outcome.Units ?? 0} units"
            : stage.Refusal(pipeline, outcome);
        // A worker that says something impossible must not break the registry later.
        if (reason is not null)
            return End(pipeline, PipelineStatus.Failed, $"{Describe(unit)}: {reason}", now);
        var finished = unit with
        {
            Status = UnitStatus.Done,
            Result = outcome.Result,
            Report = outcome.Report,
            Size = outcome.Size,
            Environment = outcome.Environment,
            Error = null,
            DueAt = null,
            DoneAt = now,
        };
        var next = Count(stage, pipeline, outcome) with { ActiveAt = now, Error = unit.Error is null ? pipeline.Error : null };
        var decision = stage.IsComplete(next, outcome)
            ? Begin(Close(next, now), next.Route.After(next.Kind).First(), limits, now)
            : Fill(next, limits);
        return decision with { Units = [finished, .. decision.Units] };
    }

    /// <summary>A unit failed: wait and try again, or give the pipeline up.</summary>
    private static Decision Fail(
        Pipeline pipeline, PipelineUnit unit, UnitFailed failed, PipelineLimits limits, DateTimeOffset now)
    {
        if (unit.Status != UnitStatus.Sent)
            return Decision.None(pipeline);
        // Neither an outage, however long it takes, nor a broken machine is the unit's fault.
        var isCounted = failed.Kind is FailureKind.Unknown or FailureKind.Input;
        var failures = unit.Failures + (isCounted ? 1 : 0);
        var isLast = failed.Kind == FailureKind.Input || (isCounted && failures >= limits.Attempts);
        var waiting = unit with
        {
            Status = UnitStatus.Waiting,
            Failures = failures,
            Error = failed.Reason,
            DueAt = isLast ? null : now + limits.BackoffAfter(failed.Kind switch
            {
                FailureKind.Away => unit.Attempt,
                // The broken machine takes no more units, and another can do it now.
                FailureKind.Machine => 1,
                _ => failures,
            }),
        };
        var error = $"{Describe(unit)}: {failed.Reason}";
        var next = isLast
            ? End(pipeline, PipelineStatus.Failed, failures > 1 ? $"{error} (attempt {failures})" : error, now)
            : Decision.None(pipeline with { Error = error, ActiveAt = now });
        return next with { Units = [waiting] };
    }

    /// <summary>Sends the waiting units whose time has come.</summary>
    private static Decision SendDue(Pipeline pipeline, IEnumerable<PipelineUnit> units, DateTimeOffset now)
    {
        var due = units.Where(unit => unit.Status == UnitStatus.Waiting && unit.DueAt <= now).Select(Again).ToList();
        return due.Count == 0 ? Decision.None(pipeline) : new Decision(pipeline with { ActiveAt = now }, due, Orders(due));
    }

    /// <summary>Sends the outstanding commands once more; nothing changes, since workers find what is done already.</summary>
    private static Decision SendAgain(Pipeline pipeline, IEnumerable<PipelineUnit> units) =>
        new(pipeline, [], Orders(units.Where(unit => unit.Status == UnitStatus.Sent)));

    /// <summary>Begins, or resumes where a failed or cancelled pipeline stopped.</summary>
    private static Decision Continue(Pipeline pipeline, IEnumerable<PipelineUnit> units, PipelineLimits limits, DateTimeOffset now)
    {
        var running = Run(pipeline, now);
        if (running.Issued == 0)
            return Begin(running, running.Artifact is null ? running.Route.Kinds().First() : running.Kind, limits, now);
        var again = units.Where(unit => unit.Status != UnitStatus.Done).Select(unit => Again(unit) with { Failures = 0, Error = null }).ToList();
        // A unit that others wait for stands in the way of the next.
        var filled = again.Count > 0 && IsOneByOne(running) ? Decision.None(running) : Fill(running, limits);
        return filled with { Units = [.. again, .. filled.Units], Orders = [.. Orders(again), .. filled.Orders] };
    }

    private static Pipeline Run(Pipeline pipeline, DateTimeOffset now) => pipeline with
    {
        Status = PipelineStatus.Running,
        Epoch = pipeline.Epoch + 1,
        LeaderId = null,
        Error = null,
        EndedAt = null,
        StartedAt = pipeline.StartedAt ?? now,
        KindStartedAt = now,
        Given = pipeline.Done,
        ActiveAt = now,
    };

    /// <summary>The state as it was before a kind of work.</summary>
    private static Pipeline Rewind(Pipeline pipeline, UnitKind from)
    {
        UnitKind[] again = [from, .. pipeline.Route.After(from)];
        var before = again.Select(UnitStages.Of).Aggregate(pipeline, (state, stage) => stage.Forget(state));
        return before with { Times = [.. pipeline.Times.Where(time => !again.Contains(time.Kind))] };
    }

    private static Decision Begin(Pipeline pipeline, UnitKind kind, PipelineLimits limits, DateTimeOffset now)
    {
        var begun = pipeline with
        {
            Kind = kind,
            Issued = 0,
            Done = 0,
            Given = 0,
            Total = UnitStages.Of(kind).IsTold ? 0 : 1,
            Chained = UnitStages.Of(kind).IsChained,
            UnitSize = null,
            UnitSeconds = null,
            KindStartedAt = now,
            ActiveAt = now,
        };
        return kind == PublishStage.Kind ? new Decision(begun, [], [], Publish: true) : Fill(begun, limits);
    }

    // A kind whose number of units is not known yet begins with the first, which tells.
    private static Decision Fill(Pipeline pipeline, PipelineLimits limits)
    {
        var last = UnitStages.Of(pipeline.Kind).MostIssued(pipeline, IsOneByOne(pipeline) ? 1 : limits.OutstandingOf(pipeline));
        if (last <= pipeline.Issued)
            return Decision.None(pipeline);
        var added = Enumerable.Range(pipeline.Issued, last - pipeline.Issued)
            .Select(index => new PipelineUnit { PipelineId = pipeline.Id, Kind = pipeline.Kind, Index = index }).ToList();
        return new Decision(pipeline with { Issued = last }, added, Orders(added));
    }

    private static Pipeline Count(UnitStage stage, Pipeline pipeline, UnitOutcome outcome) => stage.Keep(pipeline with
    {
        Done = stage.DoneAfter(pipeline, outcome),
        Given = pipeline.Given + (outcome.Found ? stage.DoneAfter(pipeline, outcome) - pipeline.Done : 0),
        Total = pipeline.Total > 0 ? pipeline.Total : outcome.Units!.Value,
        Chained = pipeline.Chained || outcome.Chained,
        UnitSize = pipeline.Total > 0 ? pipeline.UnitSize : outcome.Size,
        UnitSeconds = outcome.Seconds is not { } took ? pipeline.UnitSeconds : pipeline.UnitSeconds is { } mean ? mean + ShareOfLatest * (took - mean) : took,
    }, outcome);

    // Units of a kind differ, and so do machines.
    private const double ShareOfLatest = 0.3;

    private static bool IsOneByOne(Pipeline pipeline) => pipeline.Chained || pipeline.Total == 0;

    private static Pipeline Close(Pipeline pipeline, DateTimeOffset now) => pipeline with
    {
        Times = [.. pipeline.Times, new KindTime(pipeline.Kind, pipeline.Total, (now - pipeline.KindStartedAt).TotalSeconds, Math.Min(pipeline.Given, pipeline.Total))],
    };

    private static PipelineUnit Again(PipelineUnit unit) =>
        unit with { Status = UnitStatus.Sent, Attempt = unit.Attempt + 1, DueAt = null };

    private static UnitOrder[] Orders(IEnumerable<PipelineUnit> units) => [.. units.Select(unit => new UnitOrder(unit.Kind, unit.Index))];

    private static string Describe(PipelineUnit unit) => UnitStages.Of(unit.Kind).IsTold ? $"{unit.Kind} {unit.Index + 1}" : $"{unit.Kind}";
}
