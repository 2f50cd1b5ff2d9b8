namespace Qbb.Contracts;

/// <summary>Command to synthdata: scores some sequences by how far the student is from its teacher on them.</summary>
/// <param name="PipelineId">Who asks.</param>
/// <param name="Model">Manifest of the teacher's folder.</param>
/// <param name="Student">Manifest of the quantized model's folder.</param>
/// <param name="Filter">The recipe's part "filter".</param>
/// <param name="Data">Manifest of the data.</param>
/// <param name="Index">Which unit: 0 first, whose event says how many there are.</param>
/// <param name="Size">What a unit holds, as the first one's event said; null in the first, which is as large as fits its time.</param>
/// <param name="Epoch">The run of the pipeline that it belongs to.</param>
public sealed record ScoreSequences(Guid PipelineId, Digest Model, Digest Student, Digest Filter, Digest Data, int Index, int? Size, int Epoch = 0) : IUnitCommand
{
    public Digest Unit => UnitKey.Of(nameof(ScoreSequences), Model, Student, Filter, Data, Index, Size);
}
