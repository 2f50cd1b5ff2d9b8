namespace Qbb.Quantizer.Distillation;

/// <summary>A finished training.</summary>
/// <param name="Scales">The best scales in fp16, by stored name.</param>
/// <param name="Planes">The best signs, i32 [N, out, words], by stored name; none where they stayed.</param>
/// <param name="Start">On the held-out sequences before training.</param>
/// <param name="Best">The point that the scales are of.</param>
/// <param name="Curve">All points.</param>
/// <param name="LoweredAt">The step at which the rate was lowered; null if it was not.</param>
/// <param name="ResumedFrom">The step that an earlier run had reached; 0 for none.</param>
internal sealed record TrainingResult(
    IReadOnlyDictionary<string, Half[]> Scales, IReadOnlyDictionary<string, int[]> Planes, HeldOutScore Start, CurvePoint Best,
    IReadOnlyList<CurvePoint> Curve, int? LoweredAt, int ResumedFrom);

/// <summary>One point of the curve.</summary>
/// <param name="Step">Steps done.</param>
/// <param name="Loss">Mean training loss of the steps since the last point; null before the first step.</param>
/// <param name="Rate">Learning rate of the last step; 0 before the first.</param>
/// <param name="HeldOut">On the held-out sequences.</param>
public sealed record CurvePoint(int Step, double? Loss, double Rate, HeldOutScore HeldOut);

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
