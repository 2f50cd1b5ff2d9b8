namespace Qbb.Recipes;

/// <summary>
/// How a pipeline's work is cut into units. A broker takes a message back that stays unacknowledged for 30 minutes, and what a killed worker was at is
/// lost: no unit should take more than a few minutes. Where a worker cannot measure first, as in sampling, the plan says how much a unit holds.
/// </summary>
public static class UnitPlan
{
    /// <summary>Seconds that no unit should exceed.</summary>
    public const double Longest = 300;

    /// <summary>Seconds after which a unit of a calibrated decomposition may end in the middle of a block.</summary>
    public const double PartOfBlock = 60;

    /// <summary>Seconds that sampling some sequences together may take on a CPU.</summary>
    public const double Sampling = 150;

    /// <summary>Half of a unit must take so much less, or it is bound by what all its parts share, such as reading the weights.</summary>
    private const double Gain = 0.75;

    /// <summary>Most sequences to sample together, by time.</summary>
    /// <param name="weights">Of the teacher.</param>
    /// <param name="length">Tokens of a sequence.</param>
    /// <param name="machine">Where.</param>
    public static int SampledTogether(long weights, int length, WorkMachine machine) =>
        machine.Gpu ? int.MaxValue : (int)Math.Clamp(Sampling / WorkPlan.SampleSequence(weights, length, machine), 1, int.MaxValue);

    /// <summary>Halves a unit while it takes this machine too long and halving it helps: a plan knows neither the machine nor what else runs on it.</summary>
    /// <param name="planned">What the plan says that a unit holds.</param>
    /// <param name="longest">Seconds that one may take.</param>
    /// <param name="measure">Seconds that one of a size takes here, by a short trial.</param>
    public static int Cut(int planned, double longest, Func<int, double> measure)
    {
        var (size, takes) = (planned, measure(planned));
        while (size > 1 && takes > longest)
        {
            var half = (size + 1) / 2;
            var less = measure(half);
            if (less > Gain * takes)
                break;
            (size, takes) = (half, less);
        }
        return size;
    }

    /// <summary>The longest unit of every stage, as far as its work has an estimate.</summary>
    /// <param name="plan">The work.</param>
    /// <param name="model">The model.</param>
    /// <param name="machine">Where.</param>
    /// <param name="unitSeconds">What a worker lets a unit take, where it measures.</param>
    public static IEnumerable<(string Stage, double Seconds)> LongestUnits(QuantizationPlan plan, ModelCounts model, WorkMachine machine, double unitSeconds)
    {
        var length = plan.Sampling?.Length ?? 0;
        if (plan.Sampling is { } sampling)
        {
            var together = Math.Min(WorkPlan.Together(model, sampling.Sequences, length, machine), SampledTogether(model.Weights, length, machine));
            yield return ("sample", WorkPlan.Sample(model, together, length, machine).Seconds);
        }
        yield return (QuantizationPlan.Quantizing, Decomposition(plan, model, length, machine, unitSeconds));
        if (plan.Distillation is { } training)
        {
            if (plan.Filter is { } filter)
                yield return ("score", unitSeconds + WorkPlan.Evaluate(model, 2 * filter.Batch, length, machine).Seconds);
            var one = training with { Steps = 1 };
            yield return ("distill", unitSeconds + WorkPlan.Distill(model, one, plan.Sampling!.Sequences, length, machine).Seconds);
        }
        yield return ("evaluate", unitSeconds + WorkPlan.Evaluate(model, 2, Math.Max(length, QuantizationPlan.UsualLength), machine).Seconds);
    }

    /// <summary>A unit holds blocks, or layers where a block takes too long: as many as the first unit had time for, whatever the others are.</summary>
    private static double Decomposition(QuantizationPlan plan, ModelCounts model, int length, WorkMachine machine, double unitSeconds)
    {
        var layers = model.Linears.Take(model.Linears.Count / Math.Max(1, model.Blocks)).ToList();
        var tokens = (long)plan.CalibrationSequences * length;
        double Seconds(IReadOnlyList<(int, int)> some) =>
            WorkPlan.Quantize(model with { Linears = some, Blocks = 1 }, plan.Decomposition, tokens, length, machine)?.Seconds ?? 0;
        if (tokens == 0)
            return unitSeconds + layers.Max(layer => Seconds([layer]));
        var block = Seconds(layers);
        if (block <= PartOfBlock)
            return unitSeconds + block;
        // A unit in the middle of a block lets the data run through what is before once more.
        var size = Enumerable.Range(0, layers.Count).Count(before => before == 0 || Seconds(layers.GetRange(0, before)) < PartOfBlock);
        var pass = WorkPlan.Pass(model with { Linears = layers, Blocks = 1 }, tokens, length, machine);
        var twice = layers.Concat(layers).ToList();
        return Math.Min(block, Enumerable.Range(0, layers.Count).Max(first => Seconds(twice.GetRange(first, size)))) + pass;
    }
}
