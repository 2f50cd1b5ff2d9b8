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
