namespace Qbb.Contracts;

/// <summary>Command to synthdata: keeps the sequences of the highest scores.</summary>
/// <param name="PipelineId">Who asks.</param>
/// <param name="Model">Manifest of the teacher's folder.</param>
/// <param name="Student">Manifest of the quantized model's folder.</param>
/// <param name="Filter">The recipe's part "filter".</param>
/// <param name="Data">Manifest of the data.</param>
/// <param name="Scores">Results of all <see cref="ScoreSequences"/>, in order.</param>
/// <param name="Epoch">The run of the pipeline that it belongs to.</param>
public sealed record FilterSequences(
    Guid PipelineId, Digest Model, Digest Student, Digest Filter, Digest Data, IReadOnlyList<Digest> Scores, int Epoch = 0) : IUnitCommand
{
    public Digest Unit => UnitKey.Of(nameof(FilterSequences), Model, Student, Filter, Data, UnitKey.Of(Scores));
}
