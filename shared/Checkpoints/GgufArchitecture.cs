using System.Collections.Frozen;

namespace Qbb.Checkpoints;

/// <summary>What is known of a GGUF architecture whose tensors can be given Hugging Face's names.</summary>
/// <param name="Name">The value of <c>general.architecture</c> and the prefix of the architecture's metadata keys.</param>
/// <param name="ModelType">Hugging Face's <c>model_type</c>.</param>
/// <param name="ClassName">Hugging Face's class, for <c>architectures</c>.</param>
/// <param name="InterleavesRotary">
/// Whether llama.cpp keeps the rows of q and k with the two halves of every rotated pair side by side; Hugging Face keeps them half a head
/// apart.
/// </param>
internal sealed record GgufArchitecture(string Name, string ModelType, string ClassName, bool InterleavesRotary)
{
    /// <summary>Rotary factors by dimension; no weight of the model.</summary>
    public const string RopeFactors = "rope_freqs.weight";

    // llama.cpp's converter writes Mistral under llama too. Qwen's rope takes halves, so its rows stay as they are.
    private static readonly FrozenDictionary<string, GgufArchitecture> Known = new GgufArchitecture[]
    {
        new("llama", "llama", "LlamaForCausalLM", true),
        new("qwen2", "qwen2", "Qwen2ForCausalLM", false),
        new("qwen3", "qwen3", "Qwen3ForCausalLM", false),
    }.ToFrozenDictionary(architecture => architecture.Name, StringComparer.Ordinal);

    private static readonly FrozenDictionary<string, string> TopNames = new Dictionary<string, string>
    {
        ["token_embd.weight"] = "model.embed_tokens.weight",
        ["output_norm.weight"] = "model.norm.weight",
        ["output.weight"] = "lm_head.weight",
    }.ToFrozenDictionary(StringComparer.Ordinal);

    private static readonly FrozenDictionary<string, string> BlockNames = new Dictionary<string, string>
    {
        ["attn_q"] = "self_attn.q_proj",
        ["attn_k"] = "self_attn.k_proj",
        ["attn_v"] = "self_attn.v_proj",
        ["attn_output"] = "self_attn.o_proj",
        ["attn_q_norm"] = "self_attn.q_norm",
        ["attn_k_norm"] = "self_attn.k_norm",
        ["ffn_gate"] = "mlp.gate_proj",
        ["ffn_up"] = "mlp.up_proj",
        ["ffn_down"] = "mlp.down_proj",
        ["attn_norm"] = "input_layernorm",
        ["ffn_norm"] = "post_attention_layernorm",
    }.ToFrozenDictionary(StringComparer.Ordinal);

    /// <exception cref="InvalidInputException">The file's architecture is not known; the message lists those that are.</exception>
    public static GgufArchitecture Of(GgufFile file) => Known.TryGetValue(file.Architecture, out var architecture)
        ? architecture
        : throw new InvalidInputException(
            $"{file.Path}: GGUF architecture {(file.Architecture.Length == 0 ? "(none)" : Printable.Name(file.Architecture))} is not "
                + $"known; known are {string.Join(", ", Known.Keys.Order(StringComparer.Ordinal))}. Give the model as a Hugging Face "
                + "folder instead");

    /// <summary>Hugging Face's name of a tensor, or null where there is none.</summary>
    public static string? HuggingFaceName(string name)
    {
        if (TopNames.TryGetValue(name, out var top))
            return top;
        var parts = name.Split('.');
        var isBlock = parts.Length == 4 && parts[0] == "blk" && parts[3] is "weight" or "bias";
        if (!isBlock || !BlockNames.TryGetValue(parts[2], out var part) || !IsNumber(parts[1]))
            return null;
        return $"model.layers.{parts[1]}.{part}.{parts[3]}";
    }

    private static bool IsNumber(string text) =>
        text.Length is > 0 and < 6 && text.All(char.IsAsciiDigit) && (text == "0" || text[0] != '0');
}
