using Qbb.Contracts;
using Qbb.Registry.Data;

namespace Qbb.Registry.Pipelines.Stages;

/// <summary>The layers become a model, the student.</summary>
internal sealed class AssembleStage() : UnitStage<AssembleModel, ModelAssembled>(Kind, Stage.Decompose, WorkQueues.Quantizer)
{
    public static readonly UnitKind Kind = new("AssembleModel");

    public override UnitKind? PartsOf(Pipeline pipeline) => DecomposeStage.Kind;

    public override Pipeline Keep(Pipeline pipeline, UnitOutcome outcome) =>
        pipeline with { Student = outcome.Result, Artifact = pipeline.Route.Distils ? null : outcome.Result };

    public override IEnumerable<string?> KeptIn(Pipeline pipeline) => [pipeline.Student];

    public override Pipeline Forget(Pipeline pipeline) => pipeline with { Student = null, Artifact = null };

    protected override AssembleModel Make(UnitInput input) =>
        new(input.Id, input.Model, input.Recipe.Decomposition, input.Calibration, input.Pipeline.ModelName, input.Parts, input.Epoch);

    protected override UnitMessage Read(ModelAssembled e) => new(e.PipelineId, e.Unit, new(e.Result)
    {
        Report = new UnitReport { RelativeError = e.RelativeError, BitsPerWeight = e.EffectiveBitsPerWeight, BitsPerParameter = e.BitsPerParameter, Bytes = e.Bytes },
    });
}
