namespace Qbb.Contracts;

/// <summary>Event: the quantized model is complete (before distillation, if the recipe has one).</summary>
/// <param name="PipelineId">Who asked.</param>
/// <param name="Unit">Of the command.</param>
/// <param name="Result">Manifest of the folder.</param>
/// <param name="RelativeError">‖W − Ŵ‖²/‖W‖² over all quantized weights.</param>
/// <param name="EffectiveBitsPerWeight">Bits that the quantized layers take for each weight.</param>
/// <param name="Bytes">Bytes of all files that running the model needs.</param>
/// <param name="BitsPerParameter">Bits of those files for each parameter.</param>
public sealed record ModelAssembled(
    Guid PipelineId, Digest Unit, Digest Result, double RelativeError, double EffectiveBitsPerWeight, long Bytes,
    double? BitsPerParameter = null);
