using Qbb.Contracts;
using Qbb.Registry.Data;

namespace Qbb.Registry.Pipelines.Stages;

/// <summary>Layers become sums of binary matrices.</summary>
internal sealed class DecomposeStage() : UnitStage<DecomposeLayers, LayersDecomposed>(Kind, Stage.Decompose, WorkQueues.Quantizer)
{
    public static readonly UnitKind Kind = new("Decompose");

    public override bool IsTold => true;

    public override UnitKind? PartsOf(Pipeline pipeline) => pipeline.Chained ? Kind : null;

    protected override DecomposeLayers Make(UnitInput input) => new(
        input.Id, input.Model, input.Recipe.Decomposition, input.Calibration, input.Index, input.Size, [.. input.Parts.Take(input.Index)], input.Epoch);

    protected override UnitMessage Read(LayersDecomposed e) => new(e.PipelineId, e.Unit, new(e.Result)
    {
        Units = e.Units,
        Size = e.Size,
        Chained = e.Chained,
        Report = new UnitReport { RelativeError = e.RelativeError },
    });
}
