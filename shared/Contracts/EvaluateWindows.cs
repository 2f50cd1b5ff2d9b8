namespace Qbb.Contracts;

/// <summary>Command to the evaluator: scores a range of windows of a text, or of sampled sequences.</summary>
/// <param name="PipelineId">Who asks.</param>
/// <param name="Model">Manifest of the teacher's folder.</param>
/// <param name="Student">Manifest of the model to score.</param>
/// <param name="Evaluation">The recipe's part "evaluation".</param>
/// <param name="Data">Manifest of the data sampled for it; null where the part names a text.</param>
/// <param name="Index">Which range: 0 first, whose event says how many there are.</param>
/// <param name="Size">What a unit holds, as the first one's event said; null in the first, which is as large as fits its time.</param>
/// <param name="Epoch">The run of the pipeline that it belongs to.</param>
public sealed record EvaluateWindows(
    Guid PipelineId, Digest Model, Digest Student, Digest Evaluation, Digest? Data, int Index, int? Size, int Epoch = 0) : IUnitCommand
{
    public Digest Unit => UnitKey.Of(nameof(EvaluateWindows), Model, Student, Evaluation, Data, Index, Size);
}
