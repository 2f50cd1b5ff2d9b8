using Qbb.Contracts;
using Qbb.Registry.Data;

namespace Qbb.Registry.Pipelines.Stages;

/// <summary>Batches of sequences are sampled from the teacher: to calibrate and distil on, or to score the result on where there is no text.</summary>
internal sealed class SampleStage(UnitKind kind, Stage stage, DataUse use) : UnitStage<SampleSequences, SequencesSampled>(kind, stage, WorkQueues.Synthdata)
{
    public static readonly UnitKind Kind = new("Sample");
    public static readonly UnitKind WindowsKind = new("SampleWindows");
    public static readonly SampleStage OfData = new(Kind, Stage.Sample, DataUse.Calibration);
    public static readonly SampleStage OfWindows = new(WindowsKind, Stage.Evaluate, DataUse.Evaluation);

    public override bool IsTold => true;

    // Calibration needs the data before the layers; the filter needs the student besides.
    public override bool IsDue(PipelineRoute route, IReadOnlyCollection<UnitKind> done) => use == DataUse.Evaluation
        ? route.SamplesWindows
        : route.Calibrated || (route.Distils && done.Contains(AssembleStage.Kind));

    protected override SampleSequences Make(UnitInput input) =>
        new(input.Id, input.Model, use == DataUse.Evaluation ? input.Recipe.Evaluation : input.Recipe.Sampling, use, input.Index, input.Epoch);

    protected override UnitMessage Read(SequencesSampled e) => new(e.PipelineId, e.Unit, new(e.Result) { Units = e.Units });
}
