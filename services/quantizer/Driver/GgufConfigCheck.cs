using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;

namespace Qbb.Quantizer.Driver;

/// <summary>Reads back what a GGUF file says of its model.</summary>
internal static class GgufConfigCheck
{
    private static readonly JsonSerializerOptions s_members = new() { NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals };

    /// <summary>Refuses a model of which the file says something else: what GGUF has no words for.</summary>
    public static void Refuse(DecoderConfig config, string file)
    {
        using var written = ModelSource.Open(file);
        // What was tied may be stored twice, and a bias is there or not, tensor by tensor.
        var found = DecoderConfig.FromJson(written.ConfigJson) with
        {
            ModelType = config.ModelType,
            Json = config.Json,
            TiedEmbeddings = config.TiedEmbeddings,
            QkvBias = config.QkvBias,
            AttentionOutputBias = config.AttentionOutputBias,
            MlpBias = config.MlpBias,
            HeadBias = config.HeadBias,
        };
        var (expected, other) = (Members(config), Members(found));
        // The only one that is warned of.
        if (!written.ConfigJson.ContainsKey("sliding_window"))
            other[nameof(DecoderConfig.Windows)] = expected[nameof(DecoderConfig.Windows)]?.DeepClone();
        var different = expected.Where(member => !JsonNode.DeepEquals(member.Value, other[member.Key])).Select(member => member.Key).ToList();
        if (different.Count > 0)
        {
            throw new InvalidInputException(
                $"GGUF has no words for a part of this model: {string.Join(", ", different.Select(name => $"{name} is {expected[name]?.ToJsonString() ?? "none"} here and {other[name]?.ToJsonString() ?? "none"} there"))}",
                "use --format fp16");
        }

        static JsonObject Members(DecoderConfig config)
        {
            var members = JsonSerializer.SerializeToNode(config with { Json = [] }, s_members)!.AsObject();
            Round(members);
            return members;
        }
    }

    /// <summary>To six digits: the file has fp32, and Llama 3's rope factors are recovered.</summary>
    private static void Round(JsonNode node)
    {
        var children = node is JsonObject members ? members.Select(member => member.Key).ToList().Select(key => (Node: members[key], Set: (Action<JsonNode>)(value => members[key] = value)))
            : node is JsonArray list ? Enumerable.Range(0, list.Count).Select(place => (Node: list[place], Set: (Action<JsonNode>)(value => list[place] = value))) : [];
        foreach (var (child, set) in children.ToList())
        {
            if (child is JsonValue value && value.TryGetValue<double>(out var number))
                set(double.Parse(number.ToString("G6", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture));
            else if (child is not null)
                Round(child);
        }
    }
}
