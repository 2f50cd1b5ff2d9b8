using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Qbb.Quantizer.Artifacts;

/// <summary>The content of metrics.json.</summary>
internal static class MetricsJson
{
    /// <summary>camelCase, indented, without escapes for characters that need none.</summary>
    public static JsonSerializerOptions Options { get; } = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        WriteIndented = true,
        NewLine = "\n",
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    public static string Write(QuantizedModel model, string modelDigest, string recipeDigest) => new JsonObject
    {
        ["modelDigest"] = modelDigest,
        ["recipeDigest"] = recipeDigest,
        ["relativeError"] = model.RelativeError,
        ["effectiveBitsPerWeight"] = model.EffectiveBitsPerWeight,
        ["quantizedWeights"] = model.Layers.Sum(layer => layer.Weights),
        ["bytes"] = model.Bytes,
        ["seconds"] = model.Seconds,
        ["layers"] = JsonSerializer.SerializeToNode(model.Layers, Options),
    }.ToJsonString(Options) + "\n";
}
