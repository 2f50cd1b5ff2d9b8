namespace Qbb.Registry.Pipelines.Machine;

/// <summary>Something that happens to a pipeline.</summary>
internal abstract record PipelineEvent
{
    /// <summary>It is its turn.</summary>
    public sealed record Started : PipelineEvent;

    /// <summary>Another pipeline of the same model and recipe runs already, and this one takes its result.</summary>
    public sealed record Followed(Guid LeaderId) : PipelineEvent;

    /// <summary>The one that it follows came to an end with a result, or failed.</summary>
    public sealed record LeaderEnded(Pipeline Leader) : PipelineEvent;

    /// <summary>A worker finished a unit.</summary>
    /// <param name="Unit">Its <see cref="PipelineUnit.Key"/>.</param>
    /// <param name="Outcome">What came of it.</param>
    public sealed record UnitDone(string Unit, UnitOutcome Outcome) : PipelineEvent;

    /// <summary>A worker could not do a unit.</summary>
    /// <param name="Unit">Its <see cref="PipelineUnit.Key"/>.</param>
    /// <param name="Reason">For people.</param>
    /// <param name="Permanent">Another attempt would fail in the same way.</param>
    public sealed record UnitFailed(string Unit, string Reason, bool Permanent) : PipelineEvent;

    /// <summary>The time of waiting units has come.</summary>
    public sealed record UnitsDue : PipelineEvent;

    /// <summary>Commands may be lost: what is outstanding is to be sent again.</summary>
    public sealed record Resumed : PipelineEvent;

    public sealed record Cancelled : PipelineEvent;

    /// <summary>What a worker said cannot be made use of, however often it is tried.</summary>
    public sealed record Broken(string Reason) : PipelineEvent;

    /// <summary>A person wants a failed or cancelled pipeline to go on.</summary>
    public sealed record Retried : PipelineEvent;

    /// <summary>The version stands.</summary>
    public sealed record Published(Guid VersionId) : PipelineEvent;

    /// <summary>The artifact cannot be published.</summary>
    public sealed record PublishRefused(string Error) : PipelineEvent;
}
