using System.Text.Json.Nodes;
using Qbb.Models.Decoder;

namespace Qbb.Standalone.Benchmarks;

/// <summary>Sizes of known models, to be filled with random weights.</summary>
internal static class BenchShape
{
    private static readonly Dictionary<string, (int Hidden, int Width, int Blocks, int Heads, int Groups, int Vocabulary, bool Tied)> s_shapes = new()
    {
        // LLaMA-2-7B, SmolLM2-135M, and one that a CPU runs in no time.
        ["7b"] = (4096, 11008, 32, 32, 32, 32000, false),
        ["135m"] = (576, 1536, 30, 9, 3, 49152, true),
        ["tiny"] = (64, 128, 2, 4, 2, 256, true),
    };

    public static IReadOnlyCollection<string> Names => s_shapes.Keys;

    public static DecoderConfig Of(string name)
    {
        var shape = s_shapes[name];
        return DecoderConfig.FromJson(new JsonObject
        {
            ["model_type"] = "llama",
            ["hidden_size"] = shape.Hidden,
            ["intermediate_size"] = shape.Width,
            ["num_hidden_layers"] = shape.Blocks,
            ["num_attention_heads"] = shape.Heads,
            ["num_key_value_heads"] = shape.Groups,
            ["vocab_size"] = shape.Vocabulary,
            ["tie_word_embeddings"] = shape.Tied,
            ["max_position_embeddings"] = 4096,
            ["rms_norm_eps"] = 1e-5,
            ["rope_theta"] = 10000.0,
            ["hidden_act"] = "silu",
        });
    }

    /// <summary>Weights of the blocks' linear layers, and of the head.</summary>
    public static (long Blocks, long Head) Weights(DecoderConfig config) =>
        (DecoderLayout.Of(config).Linears.Sum(linear => linear.WeightCount), (long)config.VocabularySize * config.EmbeddingSize);
}
