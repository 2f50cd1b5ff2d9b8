using Qbb.Registry.Data;
using Qbb.Registry.Pipelines.Machine;
using Qbb.Registry.Pipelines.Stages;

namespace Qbb.Registry.Tests.Pipelines;

/// <summary>What workers answer: the same for the same unit, however often it is asked.</summary>
internal sealed record Worker
{
    private const int RoundSteps = 7;
    private const int Steps = 20;

    public int Layers { get; init; } = 5;

    public bool Chained { get; init; }

    public static string Key(UnitKind kind, int index) => $"{kind.Name} {index}";

    public int Total(UnitKind kind) => kind == DecomposeStage.Kind ? Layers
        : kind == DistilStage.Kind ? Steps
        : UnitStages.Of(kind).IsTold ? 3 : 1;

    public PipelineEvent.UnitDone Answer(UnitOrder order) => Answer(order.Kind, order.Index);

    public PipelineEvent.UnitDone Answer(UnitKind kind, int index) => new(
        Key(kind, index), kind == DistilStage.Kind ? Round(index) : new UnitOutcome(Key(kind, index))
        {
            Units = Total(kind),
            Chained = kind == DecomposeStage.Kind && Chained,
            Report = kind != EvaluateStage.Kind ? null
                : new UnitReport { Sums = new ScoreSums(4, 10, 20, 19, 1, 8), BitsPerWeight = 3.25, Bytes = 1000 },
        });

    private static UnitOutcome Round(int index)
    {
        var step = Math.Min(Steps, (index + 1) * RoundSteps);
        return new UnitOutcome(step == Steps ? "distilled" : $"checkpoint {step}") { Step = step, Units = Steps, Finished = step == Steps };
    }
}
