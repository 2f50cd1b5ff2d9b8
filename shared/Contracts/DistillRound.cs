namespace Qbb.Contracts;

/// <summary>Command to the quantizer: trains a student's scales for about a minute, from one checkpoint to the next.</summary>
/// <param name="PipelineId">Who asks.</param>
/// <param name="Model">Manifest of the teacher's folder.</param>
/// <param name="Student">Manifest of the folder that was assembled.</param>
/// <param name="Distillation">The recipe's part "distillation".</param>
/// <param name="Data">Manifest of the filtered data.</param>
/// <param name="Checkpoint">Result of the round before; null for the first.</param>
/// <param name="Epoch">The run of the pipeline that it belongs to.</param>
public sealed record DistillRound(
    Guid PipelineId, Digest Model, Digest Student, Digest Distillation, Digest Data, Digest? Checkpoint, int Epoch = 0) : IUnitCommand
{
    public Digest Unit => UnitKey.Of(nameof(DistillRound), Model, Student, Distillation, Data, Checkpoint);
}
