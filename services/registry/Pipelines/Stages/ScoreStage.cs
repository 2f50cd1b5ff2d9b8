using Qbb.Contracts;
using Qbb.Registry.Data;

namespace Qbb.Registry.Pipelines.Stages;

/// <summary>Sequences are scored by the student's discrepancy from the teacher.</summary>
internal sealed class ScoreStage() : UnitStage<ScoreSequences, SequencesScored>(Kind, Stage.Filter, WorkQueues.Synthdata)
{
    public static readonly UnitKind Kind = new("Score");

    public override bool IsTold => true;

    public override bool IsDue(PipelineRoute route, IReadOnlyCollection<UnitKind> done) => route.Distils;

    protected override ScoreSequences Make(UnitInput input) =>
        new(input.Id, input.Model, input.Student, input.Recipe.Filter, input.Data, input.Index, input.Size, input.Epoch);

    protected override UnitMessage Read(SequencesScored e) => new(e.PipelineId, e.Unit, new(e.Result) { Units = e.Units, Size = e.Size });
}
