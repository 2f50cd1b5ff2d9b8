using Qbb.Quantizer.Layers;

namespace Qbb.Quantizer.Artifacts;

/// <summary>A unit of layers that is done.</summary>
/// <param name="Files">Of its layers.</param>
/// <param name="Layers">Their reports.</param>
/// <param name="Units">Units of the whole model.</param>
/// <param name="Size">Layers of each but the last; 1 (a block) where they are chained.</param>
/// <param name="Chained">Whether each unit needs those before it.</param>
public sealed record QuantizedUnit(IReadOnlyList<string> Files, IReadOnlyList<LayerReport> Layers, int Units, int Size, bool Chained)
{
    /// <summary>‖W − Ŵ‖²/‖W‖² over the unit's layers.</summary>
    public double RelativeError => Layers.Average(layer => layer.RelativeError);
}
