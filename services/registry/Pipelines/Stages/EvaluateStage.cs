using Qbb.Contracts;
using Qbb.Registry.Data;

namespace Qbb.Registry.Pipelines.Stages;

/// <summary>Windows of a text, or of sampled sequences, are scored.</summary>
internal sealed class EvaluateStage() : UnitStage<EvaluateWindows, WindowsEvaluated>(Kind, Stage.Evaluate, WorkQueues.Evaluator)
{
    public static readonly UnitKind Kind = new("Evaluate");

    public override bool IsTold => true;

    public override string? Refusal(Pipeline pipeline, UnitOutcome outcome) =>
        outcome.Report?.Sums is not { Positions: > 0 } ? "the worker scored nothing" : null;

    protected override EvaluateWindows Make(UnitInput input) =>
        new(input.Id, input.Model, input.Artifact, input.Recipe.Evaluation, input.Windows, input.Index, input.Size, input.Epoch);

    protected override UnitMessage Read(WindowsEvaluated e) => new(e.PipelineId, e.Unit, new(e.Result)
    {
        Units = e.Units,
        Size = e.Size,
        Report = new UnitReport
        {
            BitsPerWeight = e.EffectiveBitsPerWeight,
            BitsPerParameter = e.BitsPerParameter,
            Bytes = e.Bytes,
            Sums = new ScoreSums(e.Windows, e.Positions, e.CrossEntropy, e.TeacherCrossEntropy, e.Divergence, e.Agreements),
        },
    });
}

/// <summary>The result becomes a version; the registry does it itself, without a unit.</summary>
internal sealed class PublishStage() : UnitStage(Kind, Stage.Publish, queue: null)
{
    public static readonly UnitKind Kind = UnitKind.Publish;

    public override IUnitCommand CommandOf(UnitInput input) => throw new InvalidOperationException("publishing has no command");

    public override UnitMessage? Read(object message) => null;

    public override void AddMessages(IMessageTypes types)
    {
    }
}
