using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Pipelines.Stages;

namespace Qbb.Registry.Pipelines.Machine;

/// <summary>Something that happens to a pipeline.</summary>
internal abstract record PipelineEvent
{
    /// <summary>It is its turn.</summary>
    public sealed record Started : PipelineEvent;

    /// <summary>Another pipeline of the same model and recipe is running, and this one takes its result.</summary>
    public sealed record Followed(Guid LeaderId) : PipelineEvent;

    /// <summary>The one that it follows succeeded or failed.</summary>
    public sealed record LeaderEnded(Pipeline Leader) : PipelineEvent;

    /// <summary>A worker finished a unit.</summary>
    /// <param name="Unit">Its <see cref="PipelineUnit.Key"/>.</param>
    /// <param name="Outcome">The result.</param>
    public sealed record UnitDone(string Unit, UnitOutcome Outcome) : PipelineEvent;

    /// <summary>A worker could not do a unit.</summary>
    /// <param name="Unit">Its <see cref="PipelineUnit.Key"/>.</param>
    /// <param name="Reason">For people.</param>
    /// <param name="Kind">What it means for further attempts.</param>
    public sealed record UnitFailed(string Unit, string Reason, FailureKind Kind) : PipelineEvent;

    /// <summary>Waiting units have reached their due time.</summary>
    public sealed record UnitsDue : PipelineEvent;

    /// <summary>Commands may be lost: what is outstanding is to be sent again.</summary>
    public sealed record Resumed : PipelineEvent;

    public sealed record Cancelled : PipelineEvent;

    /// <summary>A worker's message cannot be processed, however often it is tried.</summary>
    public sealed record Broken(string Reason) : PipelineEvent;

    /// <summary>A person retries a failed or cancelled pipeline.</summary>
    /// <param name="From">The first kind of work whose result is gone; null where all are there.</param>
    public sealed record Retried(UnitKind? From = null) : PipelineEvent;

    public sealed record Published(Guid VersionId) : PipelineEvent;

    /// <summary>The artifact cannot be published now; it is tried again.</summary>
    public sealed record PublishPostponed(string Reason) : PipelineEvent;

    /// <summary>The artifact cannot be published.</summary>
    public sealed record PublishRefused(string Error) : PipelineEvent;

    public static PipelineEvent Of(UnitMessage message) => message.Outcome is { } outcome
        ? new UnitDone(message.Unit.Value, outcome)
        : new UnitFailed(message.Unit.Value, message.Failure!, message.Kind);
}

/// <summary>What an event leads to.</summary>
/// <param name="Pipeline">The next state; the same object where nothing changes.</param>
/// <param name="Units">Units that are new or have changed.</param>
/// <param name="Orders">Commands to send.</param>
/// <param name="Publish">The artifact is to become a version.</param>
internal sealed record Decision(Pipeline Pipeline, IReadOnlyList<PipelineUnit> Units, IReadOnlyList<UnitOrder> Orders, bool Publish = false)
{
    public static Decision None(Pipeline pipeline) => new(pipeline, [], []);
}

/// <summary>A command to be sent.</summary>
internal readonly record struct UnitOrder(UnitKind Kind, int Index);

/// <summary>Bounds of a pipeline's work.</summary>
internal sealed record PipelineLimits
{
    /// <summary>Units of one pipeline that are outstanding at once: enough for all workers, few enough to stop soon and be fair.</summary>
    public int Outstanding { get; init; } = 64;

    /// <summary>The seconds of its own work that a pipeline may have queued: those who come later wait no longer for it.</summary>
    public double QueueSeconds { get; init; } = 60;

    // However long units take several workers have some at once; and so many while nothing is known of their time, as after a retry.
    private const int Least = 4, Unknown = 16;

    /// <summary>
    /// Units that may be outstanding: as many as are done in <see cref="QueueSeconds"/> at the rate seen so far. Where a unit takes half of that, it is
    /// twice what the workers have in hand, however many they are: none of them waits.
    /// </summary>
    public int OutstandingOf(Pipeline pipeline)
    {
        var (run, seconds) = (pipeline.Done - pipeline.Given, (pipeline.ActiveAt - pipeline.KindStartedAt).TotalSeconds);
        var wanted = run <= 0 ? Unknown : seconds <= 0 ? Outstanding : Math.Max(Least, run / seconds * QueueSeconds);
        return (int)Math.Min(wanted, Outstanding);
    }

    /// <summary>Failures of a unit after which its pipeline fails.</summary>
    public int Attempts { get; init; } = 5;

    /// <summary>Wait before the second attempt; it doubles with every further one.</summary>
    public TimeSpan Backoff { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Wait after so many failures, at least 1.</summary>
    public TimeSpan BackoffAfter(int failures) => Hosting.Bus.Backoff.After(failures, Backoff);
}
