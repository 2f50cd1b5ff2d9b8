namespace Qbb.Models.Decoder;

/// <summary>What one family calls its modules in a checkpoint; null where the family has no such module.</summary>
internal sealed record DecoderNames
{
    /// <summary>What may stand before the names outside the head; the first whose token embedding exists is taken.</summary>
    public required IReadOnlyList<string> Prefixes { get; init; }

    public string Embedding { get; init; } = "embed_tokens";

    public string? Positions { get; init; }

    public string? ProjectIn { get; init; }

    public string? ProjectOut { get; init; }

    /// <summary>Folder of the blocks; the index follows.</summary>
    public string Blocks { get; init; } = "layers";

    public string AttentionNorm { get; init; } = "input_layernorm";

    /// <summary>Null where attention and MLP share one norm.</summary>
    public string? MlpNorm { get; init; } = "post_attention_layernorm";

    /// <summary>Norms of what attention and MLP give, where these have norms before and after them.</summary>
    public string? AttentionOutputNorm { get; init; }

    public string? MlpOutputNorm { get; init; }

    public string Query { get; init; } = "self_attn.q_proj";

    public string Key { get; init; } = "self_attn.k_proj";

    public string Value { get; init; } = "self_attn.v_proj";

    /// <summary>The fused projection where there is one.</summary>
    public string? QueryKeyValue { get; init; }

    public string QueryNorm { get; init; } = "self_attn.q_norm";

    public string KeyNorm { get; init; } = "self_attn.k_norm";

    public string AttentionOutput { get; init; } = "self_attn.o_proj";

    public string Gate { get; init; } = "mlp.gate_proj";

    public string? GateUp { get; init; }

    public string Up { get; init; } = "mlp.up_proj";

    public string Down { get; init; } = "mlp.down_proj";

    public string FinalNorm { get; init; } = "norm";

    /// <summary>The head's full names, in order of preference.</summary>
    public IReadOnlyList<string> Heads { get; init; } = ["lm_head"];

    private static readonly DecoderNames Llama = new() { Prefixes = ["model.", ""] };

    private static readonly DecoderNames Gemma2 = Llama with
    {
        AttentionOutputNorm = "post_attention_layernorm",
        MlpNorm = "pre_feedforward_layernorm",
        MlpOutputNorm = "post_feedforward_layernorm",
    };

    private static readonly Dictionary<string, DecoderNames> Families = new()
    {
        ["llama"] = Llama,
        ["mistral"] = Llama,
        ["qwen2"] = Llama,
        ["qwen3"] = Llama,
        ["gemma"] = Llama,
        ["gemma2"] = Gemma2,
        ["gemma3_text"] = Gemma2,
        ["smollm3"] = Llama,
        ["granite"] = Llama,
        ["olmo2"] = Llama with { AttentionNorm = "post_attention_layernorm", MlpNorm = "post_feedforward_layernorm" },
        ["starcoder2"] = Llama with { Up = "mlp.c_fc", Down = "mlp.c_proj" },
        ["phi"] = Llama with
        {
            MlpNorm = null,
            AttentionOutput = "self_attn.dense",
            QueryNorm = "self_attn.q_layernorm",
            KeyNorm = "self_attn.k_layernorm",
            Up = "mlp.fc1",
            Down = "mlp.fc2",
            FinalNorm = "final_layernorm",
        },
        ["phi3"] = Llama with { QueryKeyValue = "self_attn.qkv_proj", GateUp = "mlp.gate_up_proj" },
        ["gpt_neox"] = new()
        {
            Prefixes = ["gpt_neox.", ""],
            Embedding = "embed_in",
            QueryKeyValue = "attention.query_key_value",
            AttentionOutput = "attention.dense",
            Up = "mlp.dense_h_to_4h",
            Down = "mlp.dense_4h_to_h",
            FinalNorm = "final_layer_norm",
            Heads = ["embed_out", "lm_head"],
        },
        ["gpt2"] = new()
        {
            Prefixes = ["transformer.", ""],
            Embedding = "wte",
            Positions = "wpe",
            Blocks = "h",
            AttentionNorm = "ln_1",
            MlpNorm = "ln_2",
            QueryKeyValue = "attn.c_attn",
            AttentionOutput = "attn.c_proj",
            Up = "mlp.c_fc",
            Down = "mlp.c_proj",
            FinalNorm = "ln_f",
        },
        ["opt"] = new()
        {
            Prefixes = ["model.decoder.", "decoder.", ""],
            Positions = "embed_positions",
            ProjectIn = "project_in",
            ProjectOut = "project_out",
            AttentionNorm = "self_attn_layer_norm",
            MlpNorm = "final_layer_norm",
            AttentionOutput = "self_attn.out_proj",
            Up = "fc1",
            Down = "fc2",
            FinalNorm = "final_layer_norm",
        },
    };

    public static DecoderNames Of(string modelType) => Families[modelType];
}
