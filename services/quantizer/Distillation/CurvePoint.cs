namespace Qbb.Quantizer.Distillation;

/// <summary>One point of the curve.</summary>
/// <param name="Step">Steps done.</param>
/// <param name="Loss">Mean training loss of the steps since the last point; null before the first step.</param>
/// <param name="Rate">Learning rate of the last step; 0 before the first.</param>
/// <param name="HeldOut">On the held-out sequences.</param>
public sealed record CurvePoint(int Step, double? Loss, double Rate, HeldOutScore HeldOut);
