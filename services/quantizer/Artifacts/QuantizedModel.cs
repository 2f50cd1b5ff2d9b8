using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Quantizer.Layers;

namespace Qbb.Quantizer.Artifacts;

/// <summary>A finished quantization.</summary>
/// <param name="Folder">The Hugging Face folder.</param>
/// <param name="Layers">One report per linear layer, in the model's order.</param>
/// <param name="Bytes">Bytes of the weight files.</param>
/// <param name="ResumedLayers">Layers that an earlier run had finished.</param>
public sealed record QuantizedModel(string Folder, IReadOnlyList<LayerReport> Layers, long Bytes, int ResumedLayers)
{
    /// <summary>‖W − Ŵ‖²/‖W‖² over all quantized weights.</summary>
    public double RelativeError => LayerReport.Relative(Layers.Sum(layer => layer.SquaredError), Layers.Sum(layer => layer.SquaredNorm));

    /// <summary>Bits that the quantized layers take for each of their weights.</summary>
    public double EffectiveBitsPerWeight =>
        Layers.Sum(layer => layer.EffectiveBitsPerWeight * layer.Weights) / Layers.Sum(layer => (double)layer.Weights);

    /// <summary>Time spent on the layers, earlier runs included.</summary>
    public double Seconds => Layers.Sum(layer => layer.Seconds);

    /// <summary>The content of metrics.json.</summary>
    /// <param name="modelDigest">Digest of the model that was quantized.</param>
    /// <param name="recipeDigest">Digest of the recipe.</param>
    public JsonObject ToMetrics(string modelDigest, string recipeDigest) => new()
    {
        ["modelDigest"] = modelDigest,
        ["recipeDigest"] = recipeDigest,
        ["relativeError"] = RelativeError,
        ["effectiveBitsPerWeight"] = EffectiveBitsPerWeight,
        ["quantizedWeights"] = Layers.Sum(layer => layer.Weights),
        ["bytes"] = Bytes,
        ["seconds"] = Seconds,
        ["layers"] = JsonSerializer.SerializeToNode(Layers, LayerReport.Json),
    };
}
