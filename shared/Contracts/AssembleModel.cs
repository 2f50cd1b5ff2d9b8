namespace Qbb.Contracts;

/// <summary>Command to the quantizer: puts decomposed layers and the rest of the model together as a Hugging Face folder.</summary>
/// <param name="PipelineId">Who asks.</param>
/// <param name="Model">Manifest of the model's folder.</param>
/// <param name="Decomposition">As in the units before.</param>
/// <param name="Data">As in the units before.</param>
/// <param name="Name">The model's name, for the card of the result.</param>
/// <param name="Parts">Results of all <see cref="DecomposeLayers"/>, in order.</param>
/// <param name="Epoch">The run of the pipeline that it belongs to.</param>
public sealed record AssembleModel(
    Guid PipelineId, Digest Model, Digest Decomposition, Digest? Data, string Name, IReadOnlyList<Digest> Parts, int Epoch = 0) : IUnitCommand
{
    public Digest Unit => UnitKey.Of(nameof(AssembleModel), Model, Decomposition, Data, Name, UnitKey.Of(Parts));
}
