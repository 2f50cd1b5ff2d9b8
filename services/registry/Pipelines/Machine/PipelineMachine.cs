using static Qbb.Registry.Pipelines.Machine.PipelineEvent;

namespace Qbb.Registry.Pipelines.Machine;

/// <summary>
/// The rules of a pipeline: a pure function of state and event. It knows no bus, no database and no clock. Events may come late, twice or
/// out of order: what does not fit the state changes nothing.
/// </summary>
internal static class PipelineMachine
{
    /// <summary>The next state and what to send.</summary>
    /// <param name="pipeline">The state.</param>
    /// <param name="units">The units that the event is about: the one that is done or failed, those that are due
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
                => UnitTransitions.Continue(pipeline, Current(pipeline, units), limits, now),
            Followed follow when pipeline.Status is not (PipelineStatus.Running or PipelineStatus.Succeeded) => Follow(pipeline, follow.LeaderId),
            LeaderEnded end when pipeline.Status == PipelineStatus.Following && pipeline.LeaderId == end.Leader.Id
                => TakeOver(pipeline, end.Leader, now),
            UnitDone done when Find(pipeline, units, done.Unit) is { } unit => UnitTransitions.Finish(pipeline, unit, done.Outcome, limits, now),
            UnitFailed failed when Find(pipeline, units, failed.Unit) is { } unit => UnitTransitions.Fail(pipeline, unit, failed, limits, now),
            UnitsDue when pipeline.Status == PipelineStatus.Running => UnitTransitions.SendDue(pipeline, Current(pipeline, units), now),
            Resumed when pipeline.Status == PipelineStatus.Running => UnitTransitions.SendAgain(pipeline, Current(pipeline, units)),
            Retried when pipeline.Status is PipelineStatus.Failed or PipelineStatus.Cancelled
                => UnitTransitions.Continue(pipeline, Current(pipeline, units), limits, now),
            Cancelled when !pipeline.HasEnded => End(pipeline, PipelineStatus.Cancelled, null, now),
            Broken broken when !pipeline.HasEnded => End(pipeline, PipelineStatus.Failed, broken.Reason, now),
            Published version when IsPublishing(pipeline)
                => End(pipeline with { ResultId = version.VersionId, Done = 1 }, PipelineStatus.Succeeded, null, now),
            PublishRefused refused when IsPublishing(pipeline) => End(pipeline, PipelineStatus.Failed, refused.Error, now),
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
                Kind = UnitKind.Publish,
                Issued = 0,
                Done = 0,
                Total = 1,
                Student = leader.Student,
                Data = leader.Data,
                Filtered = leader.Filtered,
                Checkpoint = leader.Checkpoint,
                Windows = leader.Windows,
                Artifact = leader.Artifact,
                KindStartedAt = now,
                ActiveAt = now,
            }, [], [], Publish: true),
        _ => Decision.None(pipeline),
    };

    internal static Decision End(Pipeline pipeline, PipelineStatus status, string? error, DateTimeOffset now) => Decision.None(
        pipeline with { Status = status, Error = error, EndedAt = now, ActiveAt = now });

    private static bool IsPublishing(Pipeline pipeline) =>
        pipeline is { Status: PipelineStatus.Running, Kind: UnitKind.Publish };

    private static PipelineUnit? Find(Pipeline pipeline, IReadOnlyList<PipelineUnit> units, string key) =>
        pipeline.Status == PipelineStatus.Running ? Current(pipeline, units).FirstOrDefault(unit => unit.Key == key) : null;

    private static IEnumerable<PipelineUnit> Current(Pipeline pipeline, IReadOnlyList<PipelineUnit> units) =>
        units.Where(unit => unit.Kind == pipeline.Kind);
}
