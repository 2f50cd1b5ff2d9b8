using Qbb.Contracts;
using Qbb.Registry.Data;

namespace Qbb.Registry.Pipelines.Stages;

/// <summary>The sequences of highest discrepancy are kept.</summary>
internal sealed class FilterStage() : UnitStage<FilterSequences, SequencesFiltered>(Kind, Stage.Filter, WorkQueues.Synthdata)
{
    public static readonly UnitKind Kind = new("Filter");

    public override bool IsDue(PipelineRoute route, IReadOnlyCollection<UnitKind> done) => route.Distils;

    public override UnitKind? PartsOf(Pipeline pipeline) => ScoreStage.Kind;

    public override Pipeline Keep(Pipeline pipeline, UnitOutcome outcome) => pipeline with { Filtered = outcome.Result };

    public override IEnumerable<string?> KeptIn(Pipeline pipeline) => [pipeline.Filtered];

    public override Pipeline Forget(Pipeline pipeline) => pipeline with { Filtered = null };

    protected override FilterSequences Make(UnitInput input) =>
        new(input.Id, input.Model, input.Student, input.Recipe.Filter, input.Data, input.Parts, input.Epoch);

    protected override UnitMessage Read(SequencesFiltered e) => new(e.PipelineId, e.Unit, new(e.Result));
}
