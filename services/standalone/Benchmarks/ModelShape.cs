using System.Text.Json.Nodes;
using Qbb.Models;
using Qbb.Models.Decoder;

namespace Qbb.Standalone.Benchmarks;

/// <summary>The shape of a model without its weights.</summary>
/// <param name="Name">As it was asked for.</param>
/// <param name="Config">The decoder.</param>
internal sealed record ModelShape(string Name, DecoderConfig Config)
{
    private const string Llama7B = """
        {
          "model_type": "llama", "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
          "num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "hidden_act": "silu"
        }
        """;

    /// <summary><c>7b</c> for LLaMA-2-7B's, else that of a model.</summary>
    /// <exception cref="InvalidInputException">There is no such model.</exception>
    public static ModelShape Of(string text)
    {
        if (text == "7b")
            return new(text, DecoderConfig.FromJson(JsonNode.Parse(Llama7B)!.AsObject()));
        using var source = ModelSource.Open(text);
        return new(text, DecoderConfig.FromJson(source.ConfigJson));
    }

    /// <summary>The linear layers of some blocks.</summary>
    public IReadOnlyList<LinearSpec> Linears(int blocks) =>
        [.. DecoderLayout.Of(Config with { BlockCount = Math.Min(blocks, Config.BlockCount) }).Linears];
}
