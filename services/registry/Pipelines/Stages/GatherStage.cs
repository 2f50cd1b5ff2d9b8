using Qbb.Contracts;
using Qbb.Registry.Data;

namespace Qbb.Registry.Pipelines.Stages;

/// <summary>The batches of a <see cref="SampleStage"/> become data.</summary>
internal sealed class GatherStage(UnitKind kind, Stage stage, DataUse use, UnitKind source) : UnitStage<AssembleData, DataAssembled>(kind, stage, WorkQueues.Synthdata)
{
    public static readonly UnitKind Kind = new("GatherData");
    public static readonly UnitKind WindowsKind = new("GatherWindows");
    public static readonly GatherStage OfData = new(Kind, Stage.Sample, DataUse.Calibration, SampleStage.Kind);
    public static readonly GatherStage OfWindows = new(WindowsKind, Stage.Evaluate, DataUse.Evaluation, SampleStage.WindowsKind);

    public override bool IsDue(PipelineRoute route, IReadOnlyCollection<UnitKind> done) => done.Contains(source);

    public override UnitKind? PartsOf(Pipeline pipeline) => source;

    public override Pipeline Keep(Pipeline pipeline, UnitOutcome outcome) =>
        use == DataUse.Evaluation ? pipeline with { Windows = outcome.Result } : pipeline with { Data = outcome.Result };

    public override IEnumerable<string?> KeptIn(Pipeline pipeline) => [use == DataUse.Evaluation ? pipeline.Windows : pipeline.Data];

    public override Pipeline Forget(Pipeline pipeline) => use == DataUse.Evaluation ? pipeline with { Windows = null } : pipeline with { Data = null };

    protected override AssembleData Make(UnitInput input) =>
        new(input.Id, input.Model, use == DataUse.Evaluation ? input.Recipe.Evaluation : input.Recipe.Sampling, use, input.Parts, input.Epoch);

    protected override UnitMessage Read(DataAssembled e) => new(e.PipelineId, e.Unit, new(e.Result));
}
