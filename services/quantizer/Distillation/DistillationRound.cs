namespace Qbb.Quantizer.Distillation;

/// <summary>Where a training stands after a round.</summary>
/// <param name="Step">Steps done.</param>
/// <param name="Steps">Steps of the whole training.</param>
/// <param name="Start">On the held-out sequences before training.</param>
/// <param name="Best">The same of the best point so far.</param>
/// <param name="Finished">Whether that was the last round.</param>
public sealed record DistillationRound(int Step, int Steps, HeldOutScore Start, HeldOutScore Best, bool Finished);
