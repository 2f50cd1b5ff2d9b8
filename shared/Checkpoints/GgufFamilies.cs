using System.Text.Json.Nodes;

namespace Qbb.Checkpoints;

/// <summary>What the configuration of one architecture has beyond that of LLaMA.</summary>
internal static class GgufFamilies
{
    /// <summary>Far more than any model has: a bound on the lists by block that a wrong file can make us write.</summary>
    private const int MostBlocks = 10_000;

    public static void Complete(JsonObject config, GgufFile file, GgufArchitecture architecture, GgufParameters parameters)
    {
        var blocks = (int)config["num_hidden_layers"]!;
        if (blocks > MostBlocks)
            throw new InvalidInputException($"{file.Path}: metadata {architecture.Name}.block_count is {blocks}; at most {MostBlocks} blocks can be read");
        switch (architecture.Name)
        {
            case "gemma":
                config["hidden_activation"] = "gelu_pytorch_tanh";
                break;
            case "gemma2":
                Gemma(config, parameters, largest: 46);
                config["attn_logit_softcapping"] = parameters.Number("attn_logit_softcapping") ?? 50;
                config["final_logit_softcapping"] = parameters.Number("final_logit_softcapping") ?? 30;
                Windows(config, parameters, blocks, period: 2, parameters.Size("attention.sliding_window") ?? 4096);
                break;
            case "gemma3":
                Gemma(config, parameters, largest: 62);
                config["final_logit_softcapping"] = parameters.Number("final_logit_softcapping");
                Windows(config, parameters, blocks, period: 6, parameters.Required("attention.sliding_window"));
                TwoRopes(config, parameters.Number("rope.freq_base_swa") ?? 10_000);
                break;
            case "smollm3":
                config["no_rope_layers"] = new JsonArray([.. Enumerable.Range(1, blocks).Select(block => (JsonNode)(block % 4 == 0 ? 0 : 1))]);
                break;
            case "granite":
                config["attention_multiplier"] = NonZero(parameters.Number("attention.scale")) ?? 1 / Math.Sqrt((int)config["head_dim"]!);
                config["embedding_multiplier"] = NonZero(parameters.Number("embedding_scale")) ?? 1;
                config["residual_multiplier"] = NonZero(parameters.Number("residual_scale")) ?? 1;
                config["logits_scaling"] = NonZero(parameters.Number("logit_scale")) ?? 1;
                break;
            case "olmo2" when parameters.Size("attention.sliding_window") is not null:
                throw new InvalidInputException($"{file.Path}: metadata olmo2.attention.sliding_window is set: this is OLMo 3, which is not supported");
            case "starcoder2":
                config["hidden_act"] = "gelu_pytorch_tanh";
                config["use_bias"] = true;
                break;
            case "phi2":
                config["hidden_act"] = "gelu_new";
                config.TryAdd("partial_rotary_factor", 1.0);
                break;
            case "phi3":
                config["sliding_window"] = parameters.Number("attention.sliding_window") is > 0 and var window ? window : null;
                LongRope(config, file, parameters);
                break;
            case "gptneox":
                config["hidden_act"] = "gelu";
                config["use_parallel_residual"] = parameters.Flag("use_parallel_residual") ?? true;
                config["rotary_pct"] = config["partial_rotary_factor"]?.DeepClone() ?? 1.0;
                config["rotary_emb_base"] = config["rope_theta"]!.DeepClone();
                break;
            case "gpt2":
                config["activation_function"] = "gelu_new";
                config["n_inner"] = config["intermediate_size"]!.DeepClone();
                break;
        }
    }

    /// <param name="config">The configuration.</param>
    /// <param name="parameters">The metadata.</param>
    /// <param name="largest">Blocks of the model whose scores are scaled by the width over the heads, not by the size of a head.</param>
    private static void Gemma(JsonObject config, GgufParameters parameters, int largest)
    {
        config["hidden_activation"] = "gelu_pytorch_tanh";
        config["query_pre_attn_scalar"] = (int)config["num_hidden_layers"]! == largest
            ? (int)config["hidden_size"]! / parameters.Heads
            : (int)config["head_dim"]!;
    }

    private static void Windows(JsonObject config, GgufParameters parameters, int blocks, int period, int window)
    {
        period = parameters.Size("attention.sliding_window_pattern") ?? period;
        config["sliding_window"] = window;
        config["layer_types"] = new JsonArray([.. Enumerable.Range(1, blocks).Select(block => (JsonNode)(block % period == 0 ? "full_attention" : "sliding_attention"))]);
    }

    private static void TwoRopes(JsonObject config, double localBase)
    {
        var full = config["rope_scaling"]?.DeepClone().AsObject() ?? new JsonObject { ["rope_type"] = "default" };
        full["rope_theta"] = config["rope_theta"]!.DeepClone();
        config.Remove("rope_scaling");
        config.Remove("rope_theta");
        config["rope_parameters"] = new JsonObject
        {
            ["full_attention"] = full,
            ["sliding_attention"] = new JsonObject { ["rope_type"] = "default", ["rope_theta"] = localBase },
        };
    }

    /// <summary>Phi-3's factors come as two tensors, for contexts up to the trained length and beyond it.</summary>
    private static void LongRope(JsonObject config, GgufFile file, GgufParameters parameters)
    {
        if (!file.Contains(GgufArchitecture.LongFactors) || !file.Contains(GgufArchitecture.ShortFactors))
            return;
        var original = parameters.Size("rope.scaling.original_context_length") ?? (int)config["max_position_embeddings"]!;
        config["original_max_position_embeddings"] = original;
        config["rope_scaling"] = new JsonObject
        {
            ["rope_type"] = "longrope",
            ["short_factor"] = Factors(GgufArchitecture.ShortFactors),
            ["long_factor"] = Factors(GgufArchitecture.LongFactors),
            ["attention_factor"] = parameters.Number("rope.scaling.attn_factor"),
        };

        JsonArray Factors(string name)
        {
            var (count, pairs) = (file.Describe(name).Count, (parameters.Size("rope.dimension_count") ?? (int)config["head_dim"]!) / 2);
            if (count != pairs)
                throw new InvalidInputException($"{file.Path}: {name} has {count} factors where {pairs} pairs of a head are rotated");
            var factors = new float[count];
            file.ReadFloat(name, 0, factors);
            WeightChecks.ThrowIfNotFinite(name, factors);
            return [.. factors.Select(factor => (JsonNode)double.Parse(factor.ToString("R")))];
        }
    }

    private static double? NonZero(double? value) => value == 0 ? null : value;
}
