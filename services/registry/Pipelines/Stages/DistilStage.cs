using Qbb.Contracts;
using Qbb.Registry.Data;

namespace Qbb.Registry.Pipelines.Stages;

/// <summary>
/// Rounds of the distillation, each from one checkpoint to the next. A round has as many steps as fit its time, so progress is counted in steps,
/// and a round is issued when the one before is done.
/// </summary>
internal sealed class DistilStage() : UnitStage<DistillRound, RoundDistilled>(Kind, Stage.Distil, WorkQueues.Quantizer)
{
    public static readonly UnitKind Kind = new("Distil");

    public override bool IsTold => true;

    public override bool IsChained => true;

    public override bool IsDue(PipelineRoute route, IReadOnlyCollection<UnitKind> done) => route.Distils;

    public override string? Refusal(Pipeline pipeline, UnitOutcome outcome) =>
        !outcome.Finished && outcome.Step <= pipeline.Done ? $"the round ended at step {outcome.Step}, where it began" : null;

    public override int DoneAfter(Pipeline pipeline, UnitOutcome outcome) => outcome.Step;

    public override Pipeline Keep(Pipeline pipeline, UnitOutcome outcome) => outcome.Finished
        ? pipeline with { Artifact = outcome.Result, Done = pipeline.Total, Note = outcome.Note }
        : pipeline with { Checkpoint = outcome.Result };

    public override IEnumerable<string?> KeptIn(Pipeline pipeline) => [pipeline.Checkpoint, pipeline.Artifact];

    public override Pipeline Forget(Pipeline pipeline) => pipeline with { Checkpoint = null, Artifact = null, Note = null };

    public override bool IsComplete(Pipeline pipeline, UnitOutcome outcome) => outcome.Finished;

    public override int MostIssued(Pipeline pipeline, int outstanding) => pipeline.Issued + 1;

    protected override DistillRound Make(UnitInput input) =>
        new(input.Id, input.Model, input.Student, input.Recipe.Distillation, input.Filtered, input.Checkpoint, input.Epoch);

    protected override UnitMessage Read(RoundDistilled e) => new(e.PipelineId, e.Unit, new(e.Result)
    {
        Units = e.Steps,
        Step = e.Step,
        Finished = e.Finished,
        Note = e.Note,
        Report = new UnitReport { Step = e.Step, StartKl = e.StartKl, Kl = e.Kl },
    });
}
