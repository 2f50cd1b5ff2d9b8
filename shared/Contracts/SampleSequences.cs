namespace Qbb.Contracts;

/// <summary>Command to synthdata: samples one batch of sequences from a teacher.</summary>
/// <param name="PipelineId">Who asks.</param>
/// <param name="Model">Manifest of the teacher's folder.</param>
/// <param name="Sampling">The recipe's part "sampling", or its part "evaluation".</param>
/// <param name="Use">What for.</param>
/// <param name="Index">Which batch: 0 first, whose event says how many there are.</param>
/// <param name="Epoch">The run of the pipeline that it belongs to.</param>
public sealed record SampleSequences(Guid PipelineId, Digest Model, Digest Sampling, DataUse Use, int Index, int Epoch = 0) : IUnitCommand
{
    public Digest Unit => UnitKey.Of(nameof(SampleSequences), Model, Sampling, Use, Index);
}
