namespace Qbb.Quantizer.Distillation;

/// <summary>A finished distillation.</summary>
/// <param name="Folder">The Hugging Face folder.</param>
/// <param name="Start">On the held-out sequences before.</param>
/// <param name="End">On the held-out sequences after.</param>
/// <param name="BestStep">The step whose scales were kept.</param>
/// <param name="Curve">All points.</param>
/// <param name="ResumedFrom">The step that an earlier run had reached; 0 for none.</param>
/// <param name="LoweredAt">The step at which the rate was lowered because the loss was not finite; null if it was not.</param>
/// <param name="TeacherIsOrigin">Whether the teacher is the model that the student says it was made from; null where it does not
/// say.</param>
/// <param name="Bytes">Bytes of the weight files.</param>
public sealed record DistilledModel(
    string Folder, HeldOutScore Start, HeldOutScore End, int BestStep, IReadOnlyList<CurvePoint> Curve, int ResumedFrom,
    int? LoweredAt, bool? TeacherIsOrigin, long Bytes);
