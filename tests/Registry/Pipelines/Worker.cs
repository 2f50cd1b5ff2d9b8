using Qbb.Registry.Pipelines.Machine;

namespace Qbb.Registry.Tests.Pipelines;

/// <summary>What workers answer: the same for the same unit, however often it is asked.</summary>
internal sealed record Worker
{
    private const int RoundSteps = 7;
    private const int Steps = 20;

    public int Layers { get; init; } = 5;

    public bool Chained { get; init; }

    public static string Key(UnitKind kind, int index) => $"{kind} {index}";

    public int Total(UnitKind kind) => kind switch
    {
        UnitKind.Decompose => Layers,
        UnitKind.Sample or UnitKind.Score or UnitKind.SampleWindows or UnitKind.Evaluate => 3,
        UnitKind.Distil => Steps,
        _ => 1,
    };

    public PipelineEvent.UnitDone Answer(UnitOrder order) => Answer(order.Kind, order.Index);

    public PipelineEvent.UnitDone Answer(UnitKind kind, int index) => new(Key(kind, index), kind switch
    {
        UnitKind.Distil => Round(index),
        UnitKind.Evaluate => new UnitOutcome(Key(kind, index))
        {
            Units = Total(kind),
            Report = new UnitReport { Sums = new ScoreSums(4, 10, 20, 19, 1, 8), BitsPerWeight = 3.25, Bytes = 1000 },
        },
        _ => new UnitOutcome(Key(kind, index)) { Units = Total(kind), Chained = kind == UnitKind.Decompose && Chained },
    });

    private static UnitOutcome Round(int index)
    {
        var step = Math.Min(Steps, (index + 1) * RoundSteps);
        return new UnitOutcome(step == Steps ? "distilled" : $"checkpoint {step}") { Step = step, Units = Steps, Finished = step == Steps };
    }
}
