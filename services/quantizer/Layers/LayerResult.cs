using Qbb.Bases;

namespace Qbb.Quantizer.Layers;

/// <summary>A quantized layer and what it came to.</summary>
/// <param name="Weight">The stored form; a <see cref="BinaryBases"/> for the methods that make them.</param>
/// <param name="Report">Errors, sizes and time.</param>
public sealed record LayerResult(IQuantizedWeight Weight, LayerReport Report);
