namespace Qbb.Registry.Pipelines.Machine;

/// <summary>The part of <see cref="PipelineMachine"/> that is about units: what is sent next, and what follows on a result.</summary>
internal static class UnitTransitions
{
    /// <summary>A unit is done: count it, keep what it made, send what there is room for now.</summary>
    public static Decision Finish(Pipeline pipeline, PipelineUnit unit, UnitOutcome outcome, PipelineLimits limits, DateTimeOffset now)
    {
        if (unit.Status == UnitStatus.Done)
            return Decision.None(pipeline);
        if (Refusal(pipeline, outcome) is { } reason)
            return PipelineMachine.End(pipeline, PipelineStatus.Failed, $"{Describe(unit)}: {reason}", now);
        var finished = unit with { Status = UnitStatus.Done, Result = outcome.Result, Report = outcome.Report, Error = null, DueAt = null };
        var next = Apply(pipeline, outcome) with { ActiveAt = now, Error = unit.Error is null ? pipeline.Error : null };
        var decision = IsComplete(next, outcome) ? Begin(Close(next, now), next.Route.After(next.Kind), limits, now) : Fill(next, limits);
        return decision with { Units = [finished, .. decision.Units] };
    }

    /// <summary>A unit failed: wait and try again, or give the pipeline up.</summary>
    public static Decision Fail(
        Pipeline pipeline, PipelineUnit unit, PipelineEvent.UnitFailed failed, PipelineLimits limits, DateTimeOffset now)
    {
        if (unit.Status != UnitStatus.Sent)
            return Decision.None(pipeline);
        var failures = unit.Failures + 1;
        var isLast = failed.Permanent || failures >= limits.Attempts;
        var waiting = unit with
        {
            Status = UnitStatus.Waiting,
            Failures = failures,
            Error = failed.Reason,
            DueAt = isLast ? null : now + limits.BackoffAfter(failures),
        };
        var error = $"{Describe(unit)}: {failed.Reason}";
        var next = isLast
            ? PipelineMachine.End(pipeline, PipelineStatus.Failed, failures > 1 ? $"{error} (attempt {failures})" : error, now)
            : Decision.None(pipeline with { Error = error, ActiveAt = now });
        return next with { Units = [waiting] };
    }

    /// <summary>Sends the waiting units whose time has come.</summary>
    public static Decision SendDue(Pipeline pipeline, IEnumerable<PipelineUnit> units, DateTimeOffset now)
    {
        var due = units.Where(unit => unit.Status == UnitStatus.Waiting && unit.DueAt <= now).Select(Again).ToList();
        return due.Count == 0 ? Decision.None(pipeline) : new Decision(pipeline with { ActiveAt = now }, due, Orders(due));
    }

    /// <summary>Sends the outstanding commands once more; nothing changes, since workers find what is done already.</summary>
    public static Decision SendAgain(Pipeline pipeline, IEnumerable<PipelineUnit> units) =>
        new(pipeline, [], Orders(units.Where(unit => unit.Status == UnitStatus.Sent)), Publish: pipeline.Kind == UnitKind.Publish);

    /// <summary>Begins, or goes on where a failed or cancelled pipeline stopped.</summary>
    public static Decision Continue(Pipeline pipeline, IEnumerable<PipelineUnit> units, PipelineLimits limits, DateTimeOffset now)
    {
        var running = pipeline with
        {
            Status = PipelineStatus.Running,
            LeaderId = null,
            Error = null,
            EndedAt = null,
            StartedAt = pipeline.StartedAt ?? now,
            KindStartedAt = now,
            ActiveAt = now,
        };
        if (running.Issued == 0)
            return Begin(running, running.Artifact is null ? running.Route.Kinds().First() : running.Kind, limits, now);
        var again = units.Where(unit => unit.Status != UnitStatus.Done).Select(unit => Again(unit) with { Failures = 0, Error = null }).ToList();
        // A unit that others wait for stands in the way of the next.
        var filled = again.Count > 0 && IsOneByOne(running) ? Decision.None(running) : Fill(running, limits);
        return filled with { Units = [.. again, .. filled.Units], Orders = [.. Orders(again), .. filled.Orders] };
    }

    private static Decision Begin(Pipeline pipeline, UnitKind kind, PipelineLimits limits, DateTimeOffset now)
    {
        var begun = pipeline with
        {
            Kind = kind,
            Issued = 0,
            Done = 0,
            Total = IsTold(kind) ? 0 : 1,
            Chained = kind == UnitKind.Distil,
            UnitSize = null,
            KindStartedAt = now,
            ActiveAt = now,
        };
        return kind == UnitKind.Publish ? new Decision(begun, [], [], Publish: true) : Fill(begun, limits);
    }

    // A kind whose number of units is not known yet begins with the first, which tells. Rounds of a distillation are as long as the workers
    // make them: one is issued when the one before is done.
    private static Decision Fill(Pipeline pipeline, PipelineLimits limits)
    {
        var last = pipeline.Kind == UnitKind.Distil ? pipeline.Issued + 1
            : Math.Min(Math.Max(pipeline.Total, 1), pipeline.Done + (IsOneByOne(pipeline) ? 1 : limits.Outstanding));
        if (last <= pipeline.Issued)
            return Decision.None(pipeline);
        var added = Enumerable.Range(pipeline.Issued, last - pipeline.Issued)
            .Select(index => new PipelineUnit { PipelineId = pipeline.Id, Kind = pipeline.Kind, Index = index }).ToList();
        return new Decision(pipeline with { Issued = last }, added, Orders(added));
    }

    private static Pipeline Apply(Pipeline pipeline, UnitOutcome outcome)
    {
        var counted = pipeline with
        {
            Done = pipeline.Kind == UnitKind.Distil ? outcome.Step : pipeline.Done + 1,
            Total = pipeline.Total > 0 ? pipeline.Total : outcome.Units!.Value,
            Chained = pipeline.Chained || outcome.Chained,
            UnitSize = pipeline.Total > 0 ? pipeline.UnitSize : outcome.Size,
        };
        return pipeline.Kind switch
        {
            UnitKind.GatherData => counted with { Data = outcome.Result },
            UnitKind.AssembleModel => counted with { Student = outcome.Result, Artifact = pipeline.Route.Distils ? null : outcome.Result },
            UnitKind.Filter => counted with { Filtered = outcome.Result },
            UnitKind.Distil when outcome.Finished => counted with { Artifact = outcome.Result, Done = counted.Total },
            UnitKind.Distil => counted with { Checkpoint = outcome.Result },
            UnitKind.GatherWindows => counted with { Windows = outcome.Result },
            _ => counted,
        };
    }

    // A worker that says something impossible must not make the registry stumble later.
    private static string? Refusal(Pipeline pipeline, UnitOutcome outcome) =>
        pipeline.Total == 0 && outcome.Units is not > 0 ? $"the worker says that there are {outcome.Units ?? 0} units"
        : pipeline.Kind == UnitKind.Distil && !outcome.Finished && outcome.Step <= pipeline.Done
            ? $"the round ended at step {outcome.Step}, where it began"
        : pipeline.Kind == UnitKind.Evaluate && outcome.Report?.Sums is not { Positions: > 0 } ? "the worker scored nothing"
        : null;

    private static bool IsComplete(Pipeline pipeline, UnitOutcome outcome) =>
        pipeline.Kind == UnitKind.Distil ? outcome.Finished : pipeline.Done == pipeline.Total;

    private static bool IsTold(UnitKind kind) => kind
        is UnitKind.Sample or UnitKind.Decompose or UnitKind.Score or UnitKind.Distil or UnitKind.SampleWindows or UnitKind.Evaluate;

    private static bool IsOneByOne(Pipeline pipeline) => pipeline.Chained || pipeline.Total == 0;

    private static Pipeline Close(Pipeline pipeline, DateTimeOffset now) => pipeline with
    {
        Times = [.. pipeline.Times, new KindTime(pipeline.Kind, pipeline.Total, (now - pipeline.KindStartedAt).TotalSeconds)],
    };

    private static PipelineUnit Again(PipelineUnit unit) =>
        unit with { Status = UnitStatus.Sent, Attempt = unit.Attempt + 1, DueAt = null };

    private static UnitOrder[] Orders(IEnumerable<PipelineUnit> units) => [.. units.Select(unit => new UnitOrder(unit.Kind, unit.Index))];

    private static string Describe(PipelineUnit unit) =>
        IsTold(unit.Kind) ? $"{Wire.NameOf(unit.Kind)} {unit.Index + 1}" : Wire.NameOf(unit.Kind);
}
