using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;

namespace Qbb.Bench.Shapes;

/// <summary>The shape of a model without its weights.</summary>
/// <param name="Name">As it was requested.</param>
/// <param name="Config">The decoder.</param>
internal sealed record ModelShape(string Name, DecoderConfig Config)
{
    private const string Common = """
        "model_type": "llama", "rms_norm_eps": 1e-5, "hidden_act": "silu", "max_position_embeddings": 4096
        """;

    /// <summary>LLaMA-2-7B, TinyLlama-1.1B, SmolLM2-135M, and one that a CPU runs in no time.</summary>
    private static readonly Dictionary<string, string> s_known = new()
    {
        ["7b"] = $$"""
            { {{Common}}, "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
              "num_attention_heads": 32, "num_key_value_heads": 32 }
            """,
        ["1b"] = $$"""
            { {{Common}}, "vocab_size": 32000, "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22,
              "num_attention_heads": 32, "num_key_value_heads": 4 }
            """,
        ["135m"] = $$"""
            { {{Common}}, "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
              "num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": true }
            """,
        ["tiny"] = $$"""
            { {{Common}}, "vocab_size": 256, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
              "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": true }
            """,
    };

    /// <summary>Weights of the head, which multiplies at every position also where it is the token embedding.</summary>
    public long HeadWeights => (long)Config.VocabularySize * Config.EmbeddingSize;

    /// <summary>A known shape (7b, 1b, 135m, tiny), else that of a model.</summary>
    /// <exception cref="InvalidInputException">There is no such model.</exception>
    public static ModelShape Of(string text)
    {
        if (s_known.TryGetValue(text, out var json))
            return new(text, DecoderConfig.FromJson(JsonNode.Parse(json)!.AsObject()));
        using var source = ModelSource.Open(text);
        return new(text, DecoderConfig.FromJson(source.ConfigJson));
    }

    /// <summary>The model's tensors; random ones, drawn as they are requested, where there is only a shape.</summary>
    public ITensorSource Open() => s_known.ContainsKey(Name) ? new RandomCheckpoint(Config, 1, drawOnDevice: true) : ModelSource.Open(Name).Tensors;

    /// <summary>The linear layers of some blocks.</summary>
    public IReadOnlyList<LinearSpec> Linears(int blocks) =>
        [.. DecoderLayout.Of(Config with { BlockCount = Math.Min(blocks, Config.BlockCount) }).Linears];
}
