namespace Qbb.Registry.Pipelines.Machine;

/// <summary>The figures that a unit reports; null where it does not.</summary>
public sealed record UnitReport
{
    /// <summary>‖W − Ŵ‖²/‖W‖² of the unit's layers.</summary>
    public double? RelativeError { get; init; }

    /// <summary>KL to the teacher on held-out sequences before the distillation, nats per token.</summary>
    public double? StartKl { get; init; }

    /// <summary>The same of the best point so far.</summary>
    public double? Kl { get; init; }

    public double? BitsPerWeight { get; init; }

    /// <summary>Of configuration and weights.</summary>
    public long? Bytes { get; init; }

    /// <summary>Of an evaluation.</summary>
    public ScoreSums? Sums { get; init; }
}
