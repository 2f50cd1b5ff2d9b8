namespace Qbb.Contracts;

/// <summary>Command to synthdata: puts all batches together as one folder of data.</summary>
/// <param name="PipelineId">Who asks.</param>
/// <param name="Model">Manifest of the teacher's folder.</param>
/// <param name="Sampling">As in the units before.</param>
/// <param name="Use">As in the units before.</param>
/// <param name="Parts">Results of all <see cref="SampleSequences"/>, in order.</param>
/// <param name="Epoch">The run of the pipeline that it belongs to.</param>
public sealed record AssembleData(Guid PipelineId, Digest Model, Digest Sampling, DataUse Use, IReadOnlyList<Digest> Parts, int Epoch = 0) : IUnitCommand
{
    public Digest Unit => UnitKey.Of(nameof(AssembleData), Model, Sampling, Use, UnitKey.Of(Parts));
}
