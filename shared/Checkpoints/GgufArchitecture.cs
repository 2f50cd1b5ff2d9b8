using System.Collections.Frozen;

namespace Qbb.Checkpoints;

/// <summary>What is known of a GGUF architecture whose tensors can be given Hugging Face's names.</summary>
/// <param name="Name">The value of <c>general.architecture</c> and the prefix of the architecture's metadata keys.</param>
/// <param name="ModelType">Hugging Face's <c>model_type</c>.</param>
/// <param name="ClassName">Hugging Face's class, for <c>architectures</c>.</param>
internal sealed record GgufArchitecture(string Name, string ModelType, string ClassName)
{
    /// <summary>Rotary factors by dimension; no weight of the model.</summary>
    public const string RopeFactors = "rope_freqs.weight";
    public const string LongFactors = "rope_factors_long.weight";
    public const string ShortFactors = "rope_factors_short.weight";

    private static readonly Dictionary<string, string> LlamaTop = new()
    {
        ["token_embd"] = "model.embed_tokens",
        ["output_norm"] = "model.norm",
        ["output"] = "lm_head",
    };

    private static readonly Dictionary<string, string> LlamaBlock = new()
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
    };

    private static readonly Dictionary<string, string> NormsAfter = new()
    {
        ["post_attention_norm"] = "post_attention_layernorm",
        ["post_ffw_norm"] = "post_feedforward_layernorm",
    };

    private static readonly Dictionary<string, string> Gemma2Block = With(With(LlamaBlock, NormsAfter), new() { ["ffn_norm"] = "pre_feedforward_layernorm" });

    // llama.cpp's converter writes Mistral under llama too.
    private static readonly FrozenDictionary<string, GgufArchitecture> Known = new GgufArchitecture[]
    {
        new("llama", "llama", "LlamaForCausalLM") { InterleavesRotary = true },
        new("qwen2", "qwen2", "Qwen2ForCausalLM"),
        new("qwen3", "qwen3", "Qwen3ForCausalLM"),
        new("smollm3", "smollm3", "SmolLM3ForCausalLM") { InterleavesRotary = true },
        new("granite", "granite", "GraniteForCausalLM") { InterleavesRotary = true },
        new("gemma", "gemma", "GemmaForCausalLM") { NormsCountFromOne = true },
        new("gemma2", "gemma2", "Gemma2ForCausalLM") { NormsCountFromOne = true, Block = Gemma2Block, Keys = ["attention.sliding_window", "attention.sliding_window_pattern"] },
        new("gemma3", "gemma3_text", "Gemma3ForCausalLM")
        {
            NormsCountFromOne = true,
            Block = Gemma2Block,
            Keys = ["attention.sliding_window", "attention.sliding_window_pattern", "rope.freq_base_swa"],
        },
        new("olmo2", "olmo2", "Olmo2ForCausalLM") { Block = With(LlamaBlock, NormsAfter) },
        new("starcoder2", "starcoder2", "Starcoder2ForCausalLM")
        {
            EpsilonKey = "attention.layer_norm_epsilon",
            EpsilonName = "norm_epsilon",
            Block = With(LlamaBlock, new() { ["ffn_up"] = "mlp.c_fc", ["ffn_down"] = "mlp.c_proj" }),
        },
        new("phi2", "phi", "PhiForCausalLM")
        {
            EpsilonKey = "attention.layer_norm_epsilon",
            EpsilonName = "layer_norm_eps",
            RotatesPart = true,
            Top = With(LlamaTop, new() { ["output_norm"] = "model.final_layernorm" }),
            Block = With(LlamaBlock, new() { ["attn_output"] = "self_attn.dense", ["ffn_up"] = "mlp.fc1", ["ffn_down"] = "mlp.fc2" }),
        },
        new("phi3", "phi3", "Phi3ForCausalLM")
        {
            RotatesPart = true,
            Block = With(LlamaBlock, new() { ["attn_qkv"] = "self_attn.qkv_proj", ["ffn_up"] = "mlp.gate_up_proj" }),
            Keys = ["attention.sliding_window"],
        },
        new("gptneox", "gpt_neox", "GPTNeoXForCausalLM")
        {
            EpsilonKey = "attention.layer_norm_epsilon",
            EpsilonName = "layer_norm_eps",
            RotatesPart = true,
            InterleavesQkv = true,
            Blocks = "gpt_neox.layers",
            Top = new() { ["token_embd"] = "gpt_neox.embed_in", ["output_norm"] = "gpt_neox.final_layer_norm", ["output"] = "embed_out" },
            Block = new()
            {
                ["attn_norm"] = "input_layernorm",
                ["attn_qkv"] = "attention.query_key_value",
                ["attn_output"] = "attention.dense",
                ["ffn_norm"] = "post_attention_layernorm",
                ["ffn_up"] = "mlp.dense_h_to_4h",
                ["ffn_down"] = "mlp.dense_4h_to_h",
            },
        },
        new("gpt2", "gpt2", "GPT2LMHeadModel")
        {
            EpsilonKey = "attention.layer_norm_epsilon",
            EpsilonName = "layer_norm_epsilon",
            Transposes = true,
            Blocks = "transformer.h",
            Top = new() { ["token_embd"] = "transformer.wte", ["position_embd"] = "transformer.wpe", ["output_norm"] = "transformer.ln_f", ["output"] = "lm_head" },
            Block = new()
            {
                ["attn_norm"] = "ln_1",
                ["attn_qkv"] = "attn.c_attn",
                ["attn_output"] = "attn.c_proj",
                ["ffn_norm"] = "ln_2",
                ["ffn_up"] = "mlp.c_fc",
                ["ffn_down"] = "mlp.c_proj",
            },
        },
    }.ToFrozenDictionary(architecture => architecture.Name, StringComparer.Ordinal);

    /// <summary>
    /// llama.cpp keeps the rows of q and k with the two halves of every rotated pair side by side; Hugging Face keeps them half a head apart.
    /// </summary>
    public bool InterleavesRotary { get; init; }

    /// <summary>The file holds 1 + w where Hugging Face's norm weights are w.</summary>
    public bool NormsCountFromOne { get; init; }

    /// <summary>Hugging Face keeps queries, keys and values head by head; the file all queries, all keys, all values.</summary>
    public bool InterleavesQkv { get; init; }

    /// <summary>Hugging Face keeps the weights of blocks as [in, out]; the file as [out, in].</summary>
    public bool Transposes { get; init; }

    /// <summary>Heads may be rotated in part.</summary>
    public bool RotatesPart { get; init; }

    public string EpsilonKey { get; init; } = "attention.layer_norm_rms_epsilon";

    public string EpsilonName { get; init; } = "rms_norm_eps";

    /// <summary>Keys of rope and attention that only this architecture has.</summary>
    public IReadOnlyList<string> Keys { get; init; } = [];

    private string Blocks { get; init; } = "model.layers";

    private Dictionary<string, string> Top { get; init; } = LlamaTop;

    private Dictionary<string, string> Block { get; init; } = LlamaBlock;

    /// <exception cref="InvalidInputException">The file's architecture is not known; the message lists those that are.</exception>
    public static GgufArchitecture Of(GgufFile file)
    {
        if (Known.TryGetValue(file.Architecture, out var architecture))
            return architecture;
        var name = file.Architecture.Length == 0 ? "(none)" : Printable.Name(file.Architecture);
        throw new InvalidInputException(name.EndsWith("moe", StringComparison.OrdinalIgnoreCase)
            ? $"{file.Path}: GGUF architecture {name} is a mixture of experts, which is not supported"
            : $"{file.Path}: GGUF architecture {name} is not known; known are {string.Join(", ", Known.Keys.Order(StringComparer.Ordinal))}. "
                + "Give the model as a Hugging Face folder instead");
    }

    /// <summary>The architecture under which llama.cpp's converter writes a model type; null where it is not known.</summary>
    public static GgufArchitecture? OfModelType(string modelType) =>
        Known.Values.FirstOrDefault(architecture => architecture.ModelType == (modelType == "mistral" ? "llama" : modelType));

    /// <summary>The model types that can be written.</summary>
    public static IEnumerable<string> ModelTypes => Known.Values.Select(architecture => architecture.ModelType).Append("mistral").Order(StringComparer.Ordinal);

    public static bool IsRopeFactors(string name) => name is RopeFactors or LongFactors or ShortFactors;

    /// <summary>Hugging Face's name of a tensor, or null if there is none.</summary>
    public string? HuggingFaceName(string name)
    {
        var parts = name.Split('.');
        if (parts[^1] is not ("weight" or "bias"))
            return null;
        if (parts.Length == 2)
            return Top.TryGetValue(parts[0], out var top) ? $"{top}.{parts[1]}" : null;
        return parts.Length == 4 && parts[0] == "blk" && Block.TryGetValue(parts[2], out var part) && IsNumber(parts[1])
            ? $"{Blocks}.{parts[1]}.{part}.{parts[3]}"
            : null;
    }

    /// <summary>GGUF's name of a tensor, or null where there is none.</summary>
    public string? GgufName(string huggingFace)
    {
        var suffix = huggingFace[(huggingFace.LastIndexOf('.') + 1)..];
        if (suffix is not ("weight" or "bias"))
            return null;
        var module = huggingFace[..^(suffix.Length + 1)];
        if (Top.FirstOrDefault(pair => pair.Value == module).Key is { } top)
            return $"{top}.{suffix}";
        if (!module.StartsWith(Blocks + ".", StringComparison.Ordinal))
            return null;
        var parts = module[(Blocks.Length + 1)..].Split('.', 2);
        return parts.Length == 2 && IsNumber(parts[0]) && Block.FirstOrDefault(pair => pair.Value == parts[1]).Key is { } name ? $"blk.{parts[0]}.{name}.{suffix}" : null;
    }

    private static bool IsNumber(string text) =>
        text.Length is > 0 and < 6 && text.All(char.IsAsciiDigit) && (text == "0" || text[0] != '0');

    private static Dictionary<string, string> With(Dictionary<string, string> names, Dictionary<string, string> others)
    {
        var result = new Dictionary<string, string>(names);
        foreach (var (name, value) in others)
            result[name] = value;
        return result;
    }
}
