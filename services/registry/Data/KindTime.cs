namespace Qbb.Registry.Pipelines.Machine;

/// <summary>How long a finished kind of work took.</summary>
/// <param name="Kind">The kind.</param>
/// <param name="Units">Its units (steps of a distillation).</param>
/// <param name="Seconds">Wall time from the first command to the last result.</param>
public sealed record KindTime(UnitKind Kind, int Units, double Seconds);
