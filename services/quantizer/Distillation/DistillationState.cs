namespace Qbb.Quantizer.Distillation;

/// <summary>
/// Where a training stands, beside its tensors. All that the further course depends on is in here or follows from the step.
/// </summary>
/// <param name="Step">Steps done.</param>
/// <param name="Best">The point whose scales are kept.</param>
/// <param name="Curve">All points, the start first.</param>
internal sealed record DistillationState(int Step, CurvePoint Best, IReadOnlyList<CurvePoint> Curve)
{
    /// <summary>Losses since the last point, added up, and how many.</summary>
    public double LossSum { get; init; }

    public int LossCount { get; init; }

    /// <summary>The step at which the loss was not finite and the rate was lowered; null if never.</summary>
    public int? LoweredAt { get; init; }

    /// <summary>Optimizer steps of every scale.</summary>
    public long[] AdamSteps { get; init; } = [];

    /// <summary>Steps of every layer's signs; none where they stay.</summary>
    public long[] SignSteps { get; init; } = [];
}
