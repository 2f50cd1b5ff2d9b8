using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Layers;

namespace Qbb.Quantizer.Artifacts;

/// <summary>A finished quantization.</summary>
/// <param name="Folder">The Hugging Face folder.</param>
/// <param name="Layers">One report per linear layer, in the model's order.</param>
/// <param name="Bytes">Bytes of the weight files.</param>
/// <param name="ResumedLayers">Layers that an earlier run had finished.</param>
public sealed record QuantizedModel(string Folder, IReadOnlyList<LayerReport> Layers, long Bytes, int ResumedLayers)
{
    /// <summary>What the layers were calibrated on; null for nothing.</summary>
    public CalibrationRecord? Calibration { get; init; }

    /// <summary>
    /// tr((W − Ŵ) H (W − Ŵ)ᵀ)/tr(W H Wᵀ), the error of the layers' outputs, averaged over the layers; null where no method looked at it.
    /// </summary>
    public double? RelativeOutputError => Layers.All(layer => layer.Output != null) ? Layers.Average(layer => layer.Output!.Relative) : null;

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
    public JsonObject ToMetrics(string modelDigest, string recipeDigest)
    {
        var metrics = new JsonObject
        {
            ["modelDigest"] = modelDigest,
            ["recipeDigest"] = recipeDigest,
            ["relativeError"] = RelativeError,
            ["effectiveBitsPerWeight"] = EffectiveBitsPerWeight,
            ["quantizedWeights"] = Layers.Sum(layer => layer.Weights),
            ["bytes"] = Bytes,
            ["seconds"] = Seconds,
        };
        if (Calibration != null)
            metrics["calibration"] = JsonSerializer.SerializeToNode(Calibration, LayerReport.Json);
        if (RelativeOutputError is { } error)
            metrics["relativeOutputError"] = error;
        metrics["layers"] = JsonSerializer.SerializeToNode(Layers, LayerReport.Json);
        return metrics;
    }
}
