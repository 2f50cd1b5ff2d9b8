using Qbb.Registry.Data;
using Qbb.Registry.Pipelines.Machine;
using Qbb.Registry.Pipelines.Stages;

namespace Qbb.Registry.Tests.Pipelines;

/// <summary>A pipeline and its unit rows in memory: what the database is to <see cref="PipelineMachine"/>.</summary>
internal sealed class Machine
{
    private readonly Dictionary<(UnitKind, int), PipelineUnit> _units = [];

    public Pipeline Pipeline { get; set; } = new()
    {
        Id = Guid.NewGuid(),
        ModelId = Guid.NewGuid(),
        ModelName = "tiny",
        SourceId = Guid.NewGuid(),
        Model = "model",
        Recipe = "recipe",
        RecipeJson = "{}",
        Route = new PipelineRoute(Calibrated: false, Distils: true, SamplesWindows: true),
        Kind = SampleStage.Kind,
        CreatedAt = DateTimeOffset.UnixEpoch,
    };

    public PipelineLimits Limits { get; init; } = new();

    public DateTimeOffset Now { get; set; } = DateTimeOffset.UnixEpoch;

    /// <summary>Times that the artifact was to be published.</summary>
    public int Publications { get; private set; }

    public IReadOnlyCollection<PipelineUnit> Units => _units.Values;

    public PipelineUnit Unit(UnitKind kind, int index) => _units[(kind, index)];

    /// <summary>Applies an event and returns the commands.</summary>
    public IReadOnlyList<UnitOrder> On(PipelineEvent happened)
    {
        var decision = PipelineMachine.Advance(Pipeline, Concerned(happened), happened, Limits, Now);
        Pipeline = decision.Pipeline;
        foreach (var unit in decision.Units)
            _units[(unit.Kind, unit.Index)] = unit with { Key = Worker.Key(unit.Kind, unit.Index) };
        Publications += decision.Publish ? 1 : 0;
        return decision.Orders;
    }

    private List<PipelineUnit> Concerned(PipelineEvent happened) => happened switch
    {
        PipelineEvent.UnitDone done => [.. _units.Values.Where(unit => unit.Key == done.Unit)],
        PipelineEvent.UnitFailed failed => [.. _units.Values.Where(unit => unit.Key == failed.Unit)],
        _ => [.. _units.Values.Where(unit => unit.Kind == Pipeline.Kind && unit.Status != UnitStatus.Done)],
    };
}
