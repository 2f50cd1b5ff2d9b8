namespace Qbb.Quantizer.Distillation;

/// <summary>Told after every step.</summary>
/// <param name="Step">Steps done.</param>
/// <param name="Steps">Steps of the whole training.</param>
/// <param name="Loss">Training loss of the step.</param>
/// <param name="HeldOut">The last look at the held-out sequences.</param>
/// <param name="Start">The same before training.</param>
/// <param name="TokensPerSecond">Trained tokens over the time of the steps, looks at the held-out sequences not counted.</param>
/// <param name="Remaining">Estimate of the time left.</param>
public sealed record DistillProgress(
    int Step, int Steps, double Loss, HeldOutScore HeldOut, HeldOutScore Start, double TokensPerSecond, TimeSpan Remaining);
