using MassTransit;
using Qbb.Contracts;
using Qbb.Registry.Data;

namespace Qbb.Registry.Pipelines.Stages;

/// <summary>
/// Everything that one kind of work has of its own: when it is due, its command and event, what its results are kept as. A new kind is a file
/// like those beside this one, and its line in <see cref="UnitStages"/>.
/// </summary>
/// <param name="kind">Its name.</param>
/// <param name="stage">What people see it as.</param>
/// <param name="queue">Where its commands go; null for what the registry does itself.</param>
internal abstract class UnitStage(UnitKind kind, Stage stage, string? queue)
{
    public UnitKind UnitKind => kind;

    public Stage Stage => stage;

    public string? Queue => queue;

    /// <summary>The first unit says how many there are; else there is one.</summary>
    public virtual bool IsTold => false;

    /// <summary>Every unit needs the result of the one before it.</summary>
    public virtual bool IsChained => false;

    /// <summary>Whether the recipe asks for it and what it needs is there.</summary>
    public virtual bool IsDue(PipelineRoute route, IReadOnlyCollection<UnitKind> done) => true;

    /// <summary>The kind whose results a command lists; null for none.</summary>
    public virtual UnitKind? PartsOf(Pipeline pipeline) => null;

    /// <summary>Makes a unit's command; the same input makes the same command.</summary>
    public abstract IUnitCommand CommandOf(UnitInput input);

    /// <summary>What a message of a worker says about a unit of this kind; null where it is about others.</summary>
    public abstract UnitMessage? Read(object message);

    /// <summary>Names the messages that <see cref="Read"/> understands.</summary>
    public abstract void AddMessages(IMessageTypes types);

    /// <summary>Why an outcome is impossible; null where it is not.</summary>
    public virtual string? Refusal(Pipeline pipeline, UnitOutcome outcome) => null;

    public virtual int DoneAfter(Pipeline pipeline, UnitOutcome outcome) => pipeline.Done + 1;

    /// <summary>The state with the outcome's result where later kinds look for it.</summary>
    public virtual Pipeline Keep(Pipeline pipeline, UnitOutcome outcome) => pipeline;

    /// <summary>Where in the state <see cref="Keep"/> puts results, and how to remove them.</summary>
    public virtual IEnumerable<string?> KeptIn(Pipeline pipeline) => [];

    public virtual Pipeline Forget(Pipeline pipeline) => pipeline;

    public virtual bool IsComplete(Pipeline pipeline, UnitOutcome outcome) => pipeline.Done == pipeline.Total;

    /// <summary>How many units may have been issued.</summary>
    public virtual int MostIssued(Pipeline pipeline, int outstanding) => Math.Min(Math.Max(pipeline.Total, 1), pipeline.Done + outstanding);
}

/// <summary>A kind of work that a worker does.</summary>
internal abstract class UnitStage<TCommand, TEvent>(UnitKind kind, Stage stage, string queue) : UnitStage(kind, stage, queue)
    where TCommand : class, IUnitCommand
    where TEvent : class
{
    public sealed override IUnitCommand CommandOf(UnitInput input) => Make(input);

    public sealed override UnitMessage? Read(object message) => message switch
    {
        TEvent happened => Read(happened),
        // The bus gave the command up: the worker did not even get to say so.
        Fault<TCommand> fault => new(fault.Message.PipelineId, fault.Message.Unit, null, fault.Exceptions.FirstOrDefault()?.Message ?? "the worker gave no reason"),
        _ => null,
    };

    public sealed override void AddMessages(IMessageTypes types)
    {
        types.Add<TEvent>();
        types.Add<Fault<TCommand>>();
    }

    protected abstract TCommand Make(UnitInput input);

    protected abstract UnitMessage Read(TEvent happened);
}

/// <summary>Takes types of messages.</summary>
internal interface IMessageTypes
{
    void Add<T>()
        where T : class;
}

/// <summary>All kinds of work.</summary>
internal static class UnitStages
{
    /// <summary>In their order; one that is not due at its place, as samples that only a distillation needs, comes as soon as it is.</summary>
    public static readonly IReadOnlyList<UnitStage> All =
    [
        SampleStage.OfData,
        GatherStage.OfData,
        new DecomposeStage(),
        new AssembleStage(),
        new ScoreStage(),
        new FilterStage(),
        new DistilStage(),
        SampleStage.OfWindows,
        GatherStage.OfWindows,
        new EvaluateStage(),
        new PublishStage(),
    ];

    private static readonly Dictionary<UnitKind, UnitStage> s_byKind = All.ToDictionary(stage => stage.UnitKind);

    public static UnitStage Of(UnitKind kind) => s_byKind[kind];

    /// <summary>The kinds of a pipeline in their order.</summary>
    public static IReadOnlyList<UnitKind> Kinds(this PipelineRoute route)
    {
        var kinds = new List<UnitKind>();
        while (All.FirstOrDefault(stage => !kinds.Contains(stage.UnitKind) && stage.IsDue(route, kinds)) is { } next)
            kinds.Add(next.UnitKind);
        return kinds;
    }

    /// <summary>The kinds that follow another.</summary>
    public static IEnumerable<UnitKind> After(this PipelineRoute route, UnitKind kind) => route.Kinds().SkipWhile(other => other != kind).Skip(1);

    /// <summary>What a message of a worker says.</summary>
    public static UnitMessage Read(object message) => All.Select(stage => stage.Read(message)).FirstOrDefault(read => read is not null)
        ?? (message is UnitFailed failed ? new UnitMessage(failed.PipelineId, failed.Unit, null, failed.Reason, failed.Kind) : null)
        ?? throw new ArgumentException($"unknown message {message.GetType()} of a worker", nameof(message));
}
