using System.Text.Json.Nodes;
using Qbb.Models.Decoder;

namespace Qbb.Models.Tests.Decoder;

/// <summary>Tiny models of the settings that real checkpoints vary and that no golden file covers.</summary>
internal static class Variants
{
    private const string LlamaBase =
        """
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 40, "rms_norm_eps": 1e-6,
        "hidden_act": "silu"
        """;

    private const string Llama = "\"model_type\": \"llama\", \"num_key_value_heads\": 2, \"max_position_embeddings\": 16, " + LlamaBase;

    private const string NeoX =
        """
        "model_type": "gpt_neox", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 40,
        "layer_norm_eps": 1e-5, "max_position_embeddings": 16
        """;

    private const string Opt =
        """
        "model_type": "opt", "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 40,
        "max_position_embeddings": 40
        """;

    private const string Gpt2 = "\"model_type\": \"gpt2\", \"n_embd\": 32, \"n_layer\": 3, \"n_head\": 4, \"n_positions\": 40, \"vocab_size\": 40";

    private const string Phi3 =
        "\"model_type\": \"phi3\", \"num_key_value_heads\": 2, \"max_position_embeddings\": 32, \"original_max_position_embeddings\": 16, " + LlamaBase;

    private const string LongRope = """ "short_factor": [1.0, 1.1, 1.3, 1.7], "long_factor": [1.5, 2.0, 4.0, 8.0] """;

    public static IReadOnlyDictionary<string, string> Json { get; } = new Dictionary<string, string>
    {
        ["llama, all biases, own head size"] = $$"""{ {{Llama}}, "attention_bias": true, "mlp_bias": true, "head_dim": 12 }""",
        ["llama, linear"] = $$"""{ {{Llama}}, "rope_theta": 500.0, "rope_scaling": { "type": "linear", "factor": 4.0 } }""",
        ["llama, dynamic"] = $$"""{ {{Llama}}, "rope_scaling": { "type": "dynamic", "factor": 2.0 } }""",
        ["llama, llama3"] = $$"""{ {{Llama}}, "rope_scaling": { "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64 } }""",
        ["llama, yarn"] = $$"""{ {{Llama}}, "rope_scaling": { "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64 } }""",
        ["llama, yarn with all settings"] = $$"""{ {{Llama}}, "rope_scaling": { "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "beta_fast": 8.0, "beta_slow": 2.0, "truncate": false, "attention_factor": 1.2 } }""",
        ["llama, yarn with mscale"] = $$"""{ {{Llama}}, "rope_scaling": { "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "mscale": 1.0, "mscale_all_dim": 0.7 } }""",
        ["llama, yarn without factor"] = $$"""{ {{Llama}}, "rope_scaling": { "rope_type": "yarn", "original_max_position_embeddings": 4 } }""",
        ["llama, longrope"] = $$"""{ {{Llama}}, "rope_scaling": { "rope_type": "longrope", "factor": 3.0, "original_max_position_embeddings": 8, {{LongRope}} } }""",
        ["mistral, window"] = $$"""{ "model_type": "mistral", "num_key_value_heads": 2, "max_position_embeddings": 64, "sliding_window": 5, {{LlamaBase}} }""",
        ["qwen2, window from block 1"] = $$"""{ "model_type": "qwen2", "num_key_value_heads": 2, "max_position_embeddings": 64, "use_sliding_window": true, "sliding_window": 4, "max_window_layers": 1, {{LlamaBase}} }""",
        ["qwen3, window by layer, biases"] = $$"""{ "model_type": "qwen3", "num_key_value_heads": 1, "head_dim": 16, "attention_bias": true, "max_position_embeddings": 64, "use_sliding_window": true, "sliding_window": 3, "layer_types": ["sliding_attention", "full_attention"], {{LlamaBase}} }""",
        ["gemma, exact gelu, biases"] = $$"""{ "model_type": "gemma", "num_key_value_heads": 1, "head_dim": 12, "max_position_embeddings": 64, "hidden_activation": "gelu", "attention_bias": true, {{LlamaBase}} }""",
        ["gemma, untied, relu"] = $$"""{ "model_type": "gemma", "num_key_value_heads": 4, "head_dim": 8, "max_position_embeddings": 64, "hidden_activation": "relu", "tie_word_embeddings": false, {{LlamaBase}} }""",
        ["phi, norms of queries and keys"] = """
            { "model_type": "phi", "hidden_size": 60, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "vocab_size": 40,
              "layer_norm_eps": 1e-5, "max_position_embeddings": 64, "qk_layernorm": true, "partial_rotary_factor": 0.4, "hidden_act": "gelu_new" }
            """,
        ["phi, grouped heads, dynamic"] = """
            { "model_type": "phi", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
              "vocab_size": 40, "layer_norm_eps": 1e-5, "max_position_embeddings": 16, "hidden_act": "quick_gelu", "rope_scaling": { "type": "dynamic", "factor": 3.0 } }
            """,
        ["phi3, longrope, window"] = $$"""{ {{Phi3}}, "sliding_window": 7, "rope_scaling": { "type": "longrope", {{LongRope}} } }""",
        ["phi3, su, partial rotary, tied"] = $$"""{ {{Phi3}}, "tie_word_embeddings": true, "partial_rotary_factor": 0.5, "rope_scaling": { "type": "su", "short_factor": [1.0, 1.2], "long_factor": [2.0, 3.0] } }""",
        ["gpt_neox, sequential, no attention bias"] = $$"""{ {{NeoX}}, "use_parallel_residual": false, "attention_bias": false, "rotary_pct": 0.5, "rotary_emb_base": 500, "hidden_act": "gelu" }""",
        ["gpt_neox, parallel, linear, tied"] = $$"""{ {{NeoX}}, "rotary_pct": 1.0, "hidden_act": "relu2", "tie_word_embeddings": true, "rope_scaling": { "type": "linear", "factor": 2.0 } }""",
        ["gpt2, scaled by block, untied"] = $$"""{ {{Gpt2}}, "n_inner": 48, "scale_attn_by_inverse_layer_idx": true, "tie_word_embeddings": false, "activation_function": "gelu_new" }""",
        ["gpt2, unscaled"] = $$"""{ {{Gpt2}}, "scale_attn_weights": false, "activation_function": "relu" }""",
        ["opt-350m"] = $$"""{ {{Opt}}, "do_layer_norm_before": false, "word_embed_proj_dim": 16, "activation_function": "relu" }""",
        ["opt, no biases, plain norms, untied"] = $$"""{ {{Opt}}, "enable_bias": false, "layer_norm_elementwise_affine": false, "tie_word_embeddings": false, "activation_function": "gelu" }""",
        ["opt, no final norm"] = $$"""{ {{Opt}}, "_remove_final_layer_norm": true, "word_embed_proj_dim": 32, "activation_function": "relu" }""",
        ["gemma2"] = $$"""
            { "model_type": "gemma2", "num_key_value_heads": 2, "head_dim": 12, "max_position_embeddings": 64, "hidden_activation": "gelu_pytorch_tanh", "sliding_window": 5,
              "query_pre_attn_scalar": 9, "attn_logit_softcapping": 1.5, "final_logit_softcapping": 2.0, "layer_types": ["sliding_attention", "full_attention"], {{LlamaBase}} }
            """,
        ["gemma3"] = $$"""
            { "model_type": "gemma3_text", "num_key_value_heads": 2, "head_dim": 12, "max_position_embeddings": 64, "hidden_activation": "gelu_pytorch_tanh", "sliding_window": 5,
              "query_pre_attn_scalar": 9, "layer_types": ["sliding_attention", "full_attention"], {{LlamaBase}}, "rope_parameters": {
              "full_attention": { "rope_type": "linear", "factor": 4.0, "rope_theta": 500.0 }, "sliding_attention": { "rope_type": "default", "rope_theta": 50.0 } } }
            """,
        ["smollm3"] = $$"""{ "model_type": "smollm3", "num_key_value_heads": 2, "max_position_embeddings": 64, "rope_theta": 500.0, "no_rope_layers": [1, 0], {{LlamaBase}} }""",
        ["granite"] = $$"""
            { "model_type": "granite", "num_key_value_heads": 2, "max_position_embeddings": 64, "attention_bias": true, "mlp_bias": true, "embedding_multiplier": 3.0,
              "residual_multiplier": 0.4, "attention_multiplier": 0.6, "logits_scaling": 2.5, {{LlamaBase}} }
            """,
        ["olmo2"] = $$"""{ "model_type": "olmo2", "num_key_value_heads": 2, "max_position_embeddings": 64, {{LlamaBase}} }""",
        ["starcoder2"] = """
            { "model_type": "starcoder2", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 40,
              "norm_epsilon": 1e-5, "max_position_embeddings": 64, "sliding_window": 6, "use_bias": true, "hidden_act": "gelu_pytorch_tanh" }
            """,
    };

    public static IEnumerable<TheoryDataRow<string>> Rows => Json.Keys.Select(name => new TheoryDataRow<string>(name));

    public static DecoderConfig Config(string name) => DecoderConfig.FromJson(JsonNode.Parse(Json[name])!.AsObject());
}
