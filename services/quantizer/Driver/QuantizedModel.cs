using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Models;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Methods;
using Qbb.Recipes;

namespace Qbb.Quantizer.Driver;

/// <summary>A finished quantization.</summary>
/// <param name="Folder">The Hugging Face folder.</param>
/// <param name="Layers">One report per linear layer, in the model's order.</param>
/// <param name="Size">Of the whole model.</param>
/// <param name="ResumedLayers">Layers that an earlier run had finished.</param>
public sealed record QuantizedModel(string Folder, IReadOnlyList<LayerReport> Layers, ModelSize Size, int ResumedLayers)
{
    /// <summary>The size of the model that it was made from.</summary>
    public required ModelSize Source { get; init; }

    /// <summary>Embedding and head where they became integers.</summary>
    public required IReadOnlyList<EmbeddingReport> Embeddings { get; init; }

    /// <summary>How another program had packed the model's weights; null for plain ones.</summary>
    public string? StartsFrom { get; init; }

    /// <summary>What the layers were calibrated on; null for nothing.</summary>
    public CalibrationRecord? Calibration { get; init; }

    /// <summary>
    /// tr((W − Ŵ) H (W − Ŵ)ᵀ)/tr(W H Wᵀ), the error of the layers' outputs, averaged over the layers; null where no method looked at it.
    /// </summary>
    public double? RelativeOutputError => Layers.All(layer => layer.Output != null) ? Layers.Average(layer => layer.Output!.Relative) : null;

    /// <summary>‖W − Ŵ‖²/‖W‖², averaged over the layers: a layer of small weights counts like any other.</summary>
    public double RelativeError => Layers.Average(layer => layer.RelativeError);

    /// <summary>Of a nested model: ‖W − Ŵ‖²/‖W‖² over all quantized weights averaged over the layers, with 1..N bases; null for others.</summary>
    public IReadOnlyList<double>? ErrorPerBase => IsNested ? PerBase(layer => layer.ErrorPerBase) : null;

    /// <summary>The same as decompositions of their own would have it; null where no method made them.</summary>
    public IReadOnlyList<double>? OwnErrorPerBase =>
        Layers.All(layer => layer.OwnErrorPerBase != null) ? PerBase(layer => layer.OwnErrorPerBase!) : null;

    /// <summary>Of a nested model: <see cref="RelativeOutputError"/> with 1..N bases; null where no method looked at it.</summary>
    public IReadOnlyList<double>? OutputErrorPerBase => Layers.All(layer => layer.OutputErrorPerBase != null)
        ? [.. Layers[0].OutputErrorPerBase!.Select((_, place) => Layers.Average(layer => layer.OutputErrorPerBase![place]))]
        : null;

    private bool IsNested => Layers.All(layer => layer.OwnErrorPerBase != null || layer.OutputErrorPerBase != null);

    /// <summary>Bits that the quantized layers take for each of their weights.</summary>
    public double EffectiveBitsPerWeight =>
        Layers.Sum(layer => layer.EffectiveBitsPerWeight * layer.Weights) / Layers.Sum(layer => (double)layer.Weights);

    /// <summary>Time spent on the layers, earlier runs included.</summary>
    public double Seconds => Layers.Sum(layer => layer.Seconds);

    /// <summary>The content of metrics.json. No times: the same recipe gives the same bytes.</summary>
    /// <param name="modelDigest">Digest of the model that was quantized.</param>
    /// <param name="recipeDigest">Digest of the recipe.</param>
    public JsonObject ToMetrics(string modelDigest, string recipeDigest)
    {
        var metrics = new JsonObject
        {
            ["modelDigest"] = modelDigest,
            ["recipeDigest"] = recipeDigest,
            ["relativeError"] = RelativeError,
            ["bitsPerWeight"] = EffectiveBitsPerWeight,
            ["quantizedWeights"] = Layers.Sum(layer => layer.Weights),
            ["bytes"] = Size.Bytes,
            ["parameters"] = Size.Parameters,
            ["bitsPerParameter"] = Size.BitsPerParameter,
            ["sourceBytes"] = Source.Bytes,
            ["sourceBitsPerParameter"] = Source.BitsPerParameter,
            ["embeddings"] = JsonSerializer.SerializeToNode(Embeddings, LayerReport.Json),
        };
        if (StartsFrom != null)
            metrics["startsFrom"] = StartsFrom;
        if (Calibration != null)
            metrics["calibration"] = JsonSerializer.SerializeToNode(Calibration, LayerReport.Json);
        if (RelativeOutputError is { } error)
            metrics["relativeOutputError"] = error;
        foreach (var (name, errors) in new[]
        {
            ("errorPerBase", ErrorPerBase), ("ownErrorPerBase", OwnErrorPerBase), ("outputErrorPerBase", OutputErrorPerBase),
        })
        {
            if (errors != null)
                metrics[name] = JsonSerializer.SerializeToNode(errors);
        }
        var layers = JsonSerializer.SerializeToNode(Layers, LayerReport.Json)!.AsArray();
        foreach (var layer in layers)
            layer!.AsObject().Remove(LayerReport.SecondsMember);
        metrics["layers"] = layers;
        return metrics;
    }

    /// <summary>The metrics.json of a folder; empty where it has none.</summary>
    /// <exception cref="InvalidInputException">It cannot be read.</exception>
    internal static JsonObject ReadMetrics(string folder)
    {
        var path = Path.Combine(folder, "metrics.json");
        try
        {
            return File.Exists(path) ? JsonNode.Parse(File.ReadAllText(path)) as JsonObject ?? [] : [];
        }
        catch (Exception error) when (error is JsonException or IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"{path}: cannot be read: {error.Message}", error);
        }
    }

    /// <summary>Whether a folder holds the finished quantization of a model by a recipe, on a calibration or none.</summary>
    /// <param name="folder">What <see cref="ModelQuantizer.Run"/> wrote, or nothing.</param>
    /// <param name="recipe">Of the decomposition.</param>
    /// <param name="modelDigest">Of the model.</param>
    /// <param name="calibration">Digest of the tokens in use; null for none.</param>
    public static bool IsFinished(string folder, Recipe recipe, string modelDigest, string? calibration)
    {
        var metrics = ReadMetrics(folder);
        return metrics["modelDigest"]?.ToString() == modelDigest && metrics["recipeDigest"]?.ToString() == recipe.Digest
            && metrics["calibration"]?["digest"]?.ToString() == calibration;
    }

    private double[] PerBase(Func<LayerReport, IReadOnlyList<double>> errors) =>
        [.. Enumerable.Range(0, errors(Layers[0]).Count).Select(place => Layers.Average(layer => errors(layer)[place]))];
}

/// <summary>A unit of layers that is done.</summary>
/// <param name="Files">Of its layers.</param>
/// <param name="Layers">Their reports.</param>
/// <param name="Units">Units of the whole model.</param>
/// <param name="Size">Layers of each but the last.</param>
/// <param name="Chained">Whether each unit needs those before it.</param>
public sealed record QuantizedUnit(IReadOnlyList<string> Files, IReadOnlyList<LayerReport> Layers, int Units, int Size, bool Chained)
{
    /// <summary>What the next unit starts from, which the caller owns; null without calibration.</summary>
    public Activations? Activations { get; init; }

    /// <summary>‖W − Ŵ‖²/‖W‖² over the unit's layers.</summary>
    public double RelativeError => Layers.Average(layer => layer.RelativeError);
}

/// <summary>Which layers a unit is of: <paramref name="Size"/> from Index·Size on, with calibration in the order in which it comes by them.</summary>
/// <param name="Index">From 0.</param>
/// <param name="Size">Layers of a unit; null for the first, which takes as many as there is time for.</param>
public sealed record UnitRange(int Index, int? Size);
