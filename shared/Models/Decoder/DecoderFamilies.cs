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
        if (types.Count != blocks)
            throw config.Wrong("layer_types", config.Json["layer_types"], $"a list of {blocks} entries, one per block");
        return [.. types.Select<string, int?>(type => type switch
        {
            "full_attention" => null,
            "sliding_attention" => window ?? throw config.Unsupported("layer_types", "sliding_attention needs use_sliding_window and sliding_window"),
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
