namespace Qbb.Contracts;

/// <summary>
/// Command to the quantizer: turns one layer, several small ones, or (calibrated) those of one block into sums of binary matrices.
/// </summary>
/// <param name="PipelineId">Who asks.</param>
/// <param name="Model">Manifest of the model's folder.</param>
/// <param name="Decomposition">The recipe's part "decomposition".</param>
/// <param name="Data">Manifest of the calibration data; null where the recipe takes none.</param>
/// <param name="Index">Which unit: 0 first, whose event says how many there are.</param>
/// <param name="Size">What a unit holds, as the first one's event said; null in the first, which is as large as fits its time.</param>
/// <param name="Before">Results of all units before this one where they are chained; else empty.</param>
/// <param name="Epoch">The run of the pipeline that it belongs to.</param>
public sealed record DecomposeLayers(
    Guid PipelineId, Digest Model, Digest Decomposition, Digest? Data, int Index, int? Size, IReadOnlyList<Digest> Before, int Epoch = 0) : IUnitCommand
{
    public Digest Unit => UnitKey.Of(nameof(DecomposeLayers), Model, Decomposition, Data, Index, Size, UnitKey.Of(Before));
}
