namespace Qbb.Models.Decoder;

/// <summary>
/// One small function per family says what differs from LLaMA. Defaults of absent keys are those of the family in transformers; sizes
/// must be written.
/// </summary>
internal static class DecoderFamilies
{
    /// <summary>Far more than any model has: a bound on what a wrong file can make us allocate.</summary>
    private const int MostBlocks = 10_000;

    public static IReadOnlyDictionary<string, Func<ConfigValues, DecoderConfig>> Readers { get; } = new Dictionary<string, Func<ConfigValues, DecoderConfig>>
    {
        ["llama"] = Llama,
        ["mistral"] = Mistral,
        ["qwen2"] = Qwen2,
        ["qwen3"] = Qwen3,
        ["gemma"] = Gemma,
        ["phi"] = Phi,
        ["phi3"] = Phi3,
        ["gpt_neox"] = GptNeoX,
        ["gpt2"] = Gpt2,
        ["opt"] = Opt,
        ["gemma2"] = Gemma2,
        ["gemma3_text"] = Gemma3,
        ["smollm3"] = SmolLm3,
        ["granite"] = Granite,
        ["olmo2"] = Olmo2,
        ["starcoder2"] = Starcoder2,
    };

    /// <summary>What LLaMA, Mistral, Qwen, Gemma, Phi and Phi-3 share; each family changes what differs.</summary>
    private static DecoderConfig Base(
        ConfigValues config, string modelType, int maxPositions, int? keyValueHeads = null, int? headDimension = null, double? rotaryShare = null,
        string normKey = "rms_norm_eps", double epsilon = 1e-6, bool tied = false)
    {
        var hidden = config.Size("hidden_size");
        var heads = config.Size("num_attention_heads");
        var blocks = BlockCount(config, "num_hidden_layers");
        var perHead = config.HasValue("head_dim") ? config.Size("head_dim") : headDimension ?? PerHead(hidden, heads);
        var positions = config.Size("max_position_embeddings", maxPositions);
        return new DecoderConfig
        {
            ModelType = modelType,
            VocabularySize = config.Size("vocab_size"),
            HiddenSize = hidden,
            IntermediateSize = config.Size("intermediate_size"),
            BlockCount = blocks,
            HeadCount = heads,
            // An explicit null means as many as heads; an absent key means the family's default.
            KeyValueHeadCount = config.HasValue("num_key_value_heads") ? config.Size("num_key_value_heads")
                : config.Has("num_key_value_heads") ? heads : keyValueHeads ?? heads,
            HeadDimension = perHead,
            MaxPositions = positions,
            EmbeddingSize = hidden,
            Norm = NormKind.Rms,
            NormEpsilon = config.Positive(normKey, epsilon),
            Mlp = MlpKind.Gated,
            Activation = Activations.Parse(config, "hidden_act", Activation.Silu),
            TiedEmbeddings = config.Flag("tie_word_embeddings", tied),
            Rope = RopeConfigReader.Read(config, modelType, perHead, positions, rotaryShare),
            AttentionScale = 1 / Math.Sqrt(perHead),
            Windows = new int?[blocks],
            Json = config.Json,
        };
    }

    private static DecoderConfig Llama(ConfigValues config)
    {
        // The first InternLM files call it bias.
        var bias = config.Flag("attention_bias", config.Flag("bias", false));
        return Base(config, "llama", 2048) with
        {
            QkvBias = bias,
            AttentionOutputBias = bias,
            MlpBias = config.Flag("mlp_bias", false),
        };
    }

    private static DecoderConfig Mistral(ConfigValues config)
    {
        var decoder = Base(config, "mistral", 131_072, keyValueHeads: 8);
        // An absent key means the window of the first Mistral; later ones write null.
        return decoder with { Windows = SameWindow(decoder.BlockCount, config.Has("sliding_window") ? OptionalWindow(config) : 4096) };
    }

    private static DecoderConfig Qwen2(ConfigValues config)
    {
        var decoder = Base(config, "qwen2", 32_768, keyValueHeads: 32);
        return decoder with { QkvBias = true, Windows = WindowsByLayer(config, decoder.BlockCount) };
    }

    private static DecoderConfig Qwen3(ConfigValues config)
    {
        var decoder = Base(config, "qwen3", 32_768, keyValueHeads: 32, headDimension: 128);
        var bias = config.Flag("attention_bias", false);
        return decoder with
        {
            QkvBias = bias,
            AttentionOutputBias = bias,
            QkNorm = QkNorm.Rms,
            Windows = WindowsByLayer(config, decoder.BlockCount),
        };
    }

    private static DecoderConfig Gemma(ConfigValues config)
    {
        var decoder = Base(config, "gemma", 8192, keyValueHeads: 16, headDimension: 256, tied: true);
        var bias = config.Flag("attention_bias", false);
        return decoder with
        {
            Norm = NormKind.RmsPlusOne,
            // The first Gemma files say hidden_act "gelu" and were trained with the tanh form; hidden_activation was added to mend that.
            Activation = config.HasValue("hidden_activation") ? Activations.Parse(config, "hidden_activation", Activation.GeluTanh)
                : Activations.Parse(config, "hidden_act", Activation.GeluTanh) is var written && written == Activation.Gelu ? Activation.GeluTanh : written,
            EmbeddingScale = Math.Sqrt(decoder.HiddenSize),
            QkvBias = bias,
            AttentionOutputBias = bias,
        };
    }

    private static DecoderConfig Gemma2(ConfigValues config)
    {
        var decoder = LaterGemma(config, Base(config, "gemma2", 8192, keyValueHeads: 4, headDimension: 256, tied: true), block => block % 2 == 0);
        return decoder with
        {
            AttentionSoftCap = SoftCap(config, "attn_logit_softcapping", 50),
            LogitSoftCap = SoftCap(config, "final_logit_softcapping", 30),
        };
    }

    private static DecoderConfig Gemma3(ConfigValues config)
    {
        var pattern = config.Size("sliding_window_pattern", 6);
        var (whole, local) = RopeConfigReader.ByLayerType(config, "full_attention", "sliding_attention", 1_000_000, "rope_local_base_freq");
        var decoder = Base(whole, "gemma3_text", 131_072, keyValueHeads: 4, headDimension: 256, tied: true);
        return LaterGemma(config, decoder, block => (block + 1) % pattern != 0) with
        {
            QkNorm = QkNorm.Rms,
            LocalRope = RopeConfigReader.Read(local, "gemma3_text", decoder.HeadDimension, decoder.MaxPositions, null),
            AttentionSoftCap = SoftCap(config, "attn_logit_softcapping", null),
            LogitSoftCap = SoftCap(config, "final_logit_softcapping", null),
        };
    }

    /// <summary>What Gemma 2 and 3 share.</summary>
    private static DecoderConfig LaterGemma(ConfigValues config, DecoderConfig decoder, Func<int, bool> slides)
    {
        var bias = config.Flag("attention_bias", false);
        return decoder with
        {
            Norm = NormKind.RmsPlusOne,
            Order = BlockOrder.NormBeforeAndAfter,
            Activation = Activations.Parse(config, "hidden_activation", Activation.GeluTanh),
            EmbeddingScale = Math.Sqrt(decoder.HiddenSize),
            AttentionScale = 1 / Math.Sqrt(config.Positive("query_pre_attn_scalar", 256)),
            Windows = WindowsByType(config, decoder.BlockCount, config.Has("sliding_window") ? OptionalWindow(config) : 4096, slides),
            QkvBias = bias,
            AttentionOutputBias = bias,
        };
    }

    private static DecoderConfig SmolLm3(ConfigValues config)
    {
        var decoder = Base(config.WithDefault("rope_theta", 2_000_000), "smollm3", 32_768, keyValueHeads: 4, tied: true);
        var interval = config.Size("no_rope_layer_interval", 4);
        bool[] rotates = config.HasValue("no_rope_layers")
            ? [.. config.Numbers("no_rope_layers").Select(number => number != 0)]
            : [.. Enumerable.Range(1, decoder.BlockCount).Select(block => block % interval != 0)];
        if (rotates.Length != decoder.BlockCount)
            throw config.Wrong("no_rope_layers", config.Json["no_rope_layers"], $"a list of {decoder.BlockCount} numbers, one per block");
        var bias = config.Flag("attention_bias", false);
        return decoder with
        {
            Rotates = rotates,
            Windows = config.Flag("use_sliding_window", false) && OptionalWindow(config) is { } window
                ? WindowsByType(config, decoder.BlockCount, window, block => !rotates[block])
                : new int?[decoder.BlockCount],
            QkvBias = bias,
            AttentionOutputBias = bias,
            MlpBias = config.Flag("mlp_bias", false),
        };
    }

    private static DecoderConfig Granite(ConfigValues config)
    {
        var bias = config.Flag("attention_bias", false);
        return Base(config, "granite", 2048) with
        {
            EmbeddingScale = config.Number("embedding_multiplier", 1),
            ResidualScale = config.Number("residual_multiplier", 1),
            AttentionScale = config.Number("attention_multiplier", 1),
            LogitDivisor = config.Positive("logits_scaling", 1),
            QkvBias = bias,
            AttentionOutputBias = bias,
            MlpBias = config.Flag("mlp_bias", false),
        };
    }

    private static DecoderConfig Olmo2(ConfigValues config)
    {
        var bias = config.Flag("attention_bias", false);
        return Base(config, "olmo2", 2048, epsilon: 1e-5) with
        {
            Order = BlockOrder.NormAfter,
            QkNorm = QkNorm.RmsOfAllHeads,
            QkvBias = bias,
            AttentionOutputBias = bias,
        };
    }

    private static DecoderConfig Starcoder2(ConfigValues config)
    {
        var decoder = Base(config, "starcoder2", 4096, keyValueHeads: 2, normKey: "norm_epsilon", epsilon: 1e-5, tied: true);
        var bias = config.Flag("use_bias", true);
        return decoder with
        {
            Norm = NormKind.LayerNorm,
            Mlp = MlpKind.Plain,
            Activation = Activations.Parse(config, "hidden_act", Activation.GeluTanh),
            Windows = SameWindow(decoder.BlockCount, OptionalWindow(config)),
            QkvBias = bias,
            AttentionOutputBias = bias,
            MlpBias = bias,
        };
    }

    private static double? SoftCap(ConfigValues config, string key, double? otherwise) =>
        !config.Has(key) ? otherwise : config.HasValue(key) ? config.Positive(key, 1) : null;

    private static DecoderConfig Phi(ConfigValues config) =>
        Base(config, "phi", 2048, rotaryShare: 0.5, normKey: "layer_norm_eps", epsilon: 1e-5) with
        {
            Norm = NormKind.LayerNorm,
            Order = BlockOrder.ParallelOneNorm,
            Mlp = MlpKind.Plain,
            Activation = Activations.Parse(config, "hidden_act", Activation.GeluTanh),
            QkvBias = true,
            AttentionOutputBias = true,
            MlpBias = true,
            HeadBias = true,
            QkNorm = config.Flag("qk_layernorm", false) ? QkNorm.LayerNorm : QkNorm.None,
        };

    private static DecoderConfig Phi3(ConfigValues config)
    {
        var decoder = Base(config, "phi3", 4096, rotaryShare: 1, epsilon: 1e-5);
        return decoder with
        {
            Packing = QkvPacking.Concatenated,
            FusedGateUp = true,
            Windows = SameWindow(decoder.BlockCount, OptionalWindow(config)),
        };
    }

    private static DecoderConfig GptNeoX(ConfigValues config)
    {
        var decoder = Base(config, "gpt_neox", 2048, rotaryShare: 0.25, normKey: "layer_norm_eps", epsilon: 1e-5);
        RequireWholeHeads(decoder);
        var bias = config.Flag("attention_bias", true);
        return decoder with
        {
            Norm = NormKind.LayerNorm,
            Order = config.Flag("use_parallel_residual", true) ? BlockOrder.ParallelTwoNorms : BlockOrder.PreNorm,
            Mlp = MlpKind.Plain,
            Activation = Activations.Parse(config, "hidden_act", Activation.Gelu),
            Packing = QkvPacking.InterleavedByHead,
            QkvBias = bias,
            AttentionOutputBias = bias,
            MlpBias = true,
        };
    }

    private static DecoderConfig Gpt2(ConfigValues config)
    {
        var hidden = config.Size(config.HasValue("n_embd") ? "n_embd" : "hidden_size");
        var heads = config.Size(config.HasValue("n_head") ? "n_head" : "num_attention_heads");
        var blocks = BlockCount(config, config.HasValue("n_layer") ? "n_layer" : "num_hidden_layers");
        var perHead = PerHead(hidden, heads);
        return new DecoderConfig
        {
            ModelType = "gpt2",
            VocabularySize = config.Size("vocab_size"),
            HiddenSize = hidden,
            IntermediateSize = config.Size("n_inner", 4 * hidden),
            BlockCount = blocks,
            HeadCount = heads,
            KeyValueHeadCount = heads,
            HeadDimension = perHead,
            MaxPositions = config.Size(config.HasValue("n_positions") ? "n_positions" : "max_position_embeddings", 1024),
            EmbeddingSize = hidden,
            Norm = NormKind.LayerNorm,
            NormEpsilon = config.Positive("layer_norm_epsilon", 1e-5),
            Mlp = MlpKind.Plain,
            Activation = Activations.Parse(config, "activation_function", Activation.GeluTanh),
            TiedEmbeddings = config.Flag("tie_word_embeddings", true),
            Packing = QkvPacking.Concatenated,
            TransposedLinears = true,
            QkvBias = true,
            AttentionOutputBias = true,
            MlpBias = true,
            AttentionScale = config.Flag("scale_attn_weights", true) ? 1 / Math.Sqrt(perHead) : 1,
            ScaleByInverseBlock = config.Flag("scale_attn_by_inverse_layer_idx", false),
            Windows = new int?[blocks],
            Json = config.Json,
        };
    }

    private static DecoderConfig Opt(ConfigValues config)
    {
        var hidden = config.Size("hidden_size");
        var heads = config.Size("num_attention_heads");
        var blocks = BlockCount(config, "num_hidden_layers");
        var perHead = PerHead(hidden, heads);
        var before = config.Flag("do_layer_norm_before", true);
        var bias = config.Flag("enable_bias", true);
        return new DecoderConfig
        {
            ModelType = "opt",
            VocabularySize = config.Size("vocab_size"),
            HiddenSize = hidden,
            IntermediateSize = config.Size("ffn_dim"),
            BlockCount = blocks,
            HeadCount = heads,
            KeyValueHeadCount = heads,
            HeadDimension = perHead,
            MaxPositions = config.Size("max_position_embeddings", 2048),
            EmbeddingSize = config.Size("word_embed_proj_dim", hidden),
            Norm = config.Flag("layer_norm_elementwise_affine", true) ? NormKind.LayerNorm : NormKind.LayerNormPlain,
            NormEpsilon = 1e-5,
            Order = before ? BlockOrder.PreNorm : BlockOrder.PostNorm,
            FinalNorm = before && !config.Flag("_remove_final_layer_norm", false),
            Mlp = MlpKind.Plain,
            Activation = Activations.Parse(config, "activation_function", Activation.Relu),
            TiedEmbeddings = config.Flag("tie_word_embeddings", true),
            PositionOffset = 2,
            QkvBias = bias,
            AttentionOutputBias = bias,
            MlpBias = bias,
            AttentionScale = 1 / Math.Sqrt(perHead),
            Windows = new int?[blocks],
            Json = config.Json,
        };
    }

    private static IReadOnlyList<int?> WindowsByLayer(ConfigValues config, int blocks)
    {
        var window = config.Flag("use_sliding_window", false) ? (config.Has("sliding_window") ? OptionalWindow(config) : 4096) : null;
        var types = config.Texts("layer_types");
        if (types is null)
        {
            var first = config.Size("max_window_layers", 28, minimum: 0);
            return [.. Enumerable.Range(0, blocks).Select(block => block >= first ? window : null)];
        }
        return WindowsByType(config, blocks, window, _ => false);
    }

    /// <summary>The window where layer_types, or the family's rule in its absence, says that a block slides.</summary>
    private static IReadOnlyList<int?> WindowsByType(ConfigValues config, int blocks, int? window, Func<int, bool> slides)
    {
        var types = config.Texts("layer_types");
        if (types is null)
            return [.. Enumerable.Range(0, blocks).Select(block => slides(block) ? window : null)];
        if (types.Count != blocks)
            throw config.Wrong("layer_types", config.Json["layer_types"], $"a list of {blocks} entries, one per block");
        return [.. types.Select<string, int?>(type => type switch
        {
            "full_attention" => null,
            "sliding_attention" => window ?? throw config.Unsupported("layer_types", "sliding_attention needs a sliding_window (and use_sliding_window, where the family has it)"),
            _ => throw config.Unsupported("layer_types", $"'{type}' is neither full_attention nor sliding_attention"),
        })];
    }

    private static int BlockCount(ConfigValues config, string key) =>
        config.Size(key) is var blocks && blocks <= MostBlocks ? blocks : throw config.Wrong(key, config.Json[key], $"at most {MostBlocks}");

    private static int?[] SameWindow(int blocks, int? window) => [.. Enumerable.Repeat(window, blocks)];

    private static int? OptionalWindow(ConfigValues config) => config.HasValue("sliding_window") ? config.Size("sliding_window") : null;

    private static int PerHead(int hidden, int heads) =>
        hidden % heads == 0 ? hidden / heads : throw new InvalidInputException($"config.json: the hidden size {hidden} is not a multiple of the {heads} attention heads");

    private static void RequireWholeHeads(DecoderConfig decoder)
    {
        if (decoder.HeadDimension * decoder.HeadCount != decoder.HiddenSize || decoder.KeyValueHeadCount != decoder.HeadCount)
            throw new InvalidInputException($"config.json: {decoder.ModelType} has one key and value per head and heads that make up the hidden size {decoder.HiddenSize}");
    }
}
