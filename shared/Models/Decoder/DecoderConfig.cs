using System.Text.Json.Nodes;

namespace Qbb.Models.Decoder;

/// <summary>
/// Everything that tells one decoder-only transformer from another, as data. Read from config.json of the model types that
/// <see cref="KnownModelTypes"/> lists; the weights' names are <see cref="DecoderLayout"/>'s business.
/// </summary>
public sealed record DecoderConfig
{
    /// <summary>model_type of config.json.</summary>
    public required string ModelType { get; init; }

    public required int VocabularySize { get; init; }

    public required int HiddenSize { get; init; }

    /// <summary>Width of the MLP.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>Number of transformer blocks.</summary>
    public required int BlockCount { get; init; }

    public required int HeadCount { get; init; }

    /// <summary>Heads of keys and values; a divisor of <see cref="HeadCount"/>.</summary>
    public required int KeyValueHeadCount { get; init; }

    public required int HeadDimension { get; init; }

    /// <summary>max_position_embeddings: a hard limit with learned positions, a hint otherwise.</summary>
    public required int MaxPositions { get; init; }

    /// <summary>Width of the token embedding; differs from <see cref="HiddenSize"/> in OPT-350m.</summary>
    public required int EmbeddingSize { get; init; }

    public required NormKind Norm { get; init; }

    public required double NormEpsilon { get; init; }

    public BlockOrder Order { get; init; } = BlockOrder.PreNorm;

    /// <summary>Whether a norm stands between the last block and the head.</summary>
    public bool FinalNorm { get; init; } = true;

    public required MlpKind Mlp { get; init; }

    public required Activation Activation { get; init; }

    /// <summary>The head is the token embedding.</summary>
    public required bool TiedEmbeddings { get; init; }

    /// <summary>Token embeddings are multiplied by this (Gemma: sqrt(hidden), rounded to the type of computation).</summary>
    public double EmbeddingScale { get; init; } = 1;

    /// <summary>Null when the decoder has learned positions.</summary>
    public RopeConfig? Rope { get; init; }

    /// <summary>Rows to skip in the table of learned positions (OPT: 2).</summary>
    public int PositionOffset { get; init; }

    public bool LearnedPositions => Rope is null;

    public QkvPacking Packing { get; init; } = QkvPacking.Separate;

    /// <summary>Gate and up are one stored layer (Phi-3).</summary>
    public bool FusedGateUp { get; init; }

    /// <summary>Linear layers of the blocks are stored as [in, out] (GPT-2).</summary>
    public bool TransposedLinears { get; init; }

    public bool QkvBias { get; init; }

    public bool AttentionOutputBias { get; init; }

    public bool MlpBias { get; init; }

    public bool HeadBias { get; init; }

    public QkNorm QkNorm { get; init; }

    /// <summary>Attention scores are multiplied by this before the softmax.</summary>
    public required double AttentionScale { get; init; }

    /// <summary>GPT-2's scale_attn_by_inverse_layer_idx: block i divides its scores by i + 1 as well.</summary>
    public bool ScaleByInverseBlock { get; init; }

    /// <summary>Per block the sliding window w, so that position i sees positions j with 0 ≤ i − j &lt; w; null for all of the past.</summary>
    public required IReadOnlyList<int?> Windows { get; init; }

    /// <summary>Gemma 2: scores s become cap · tanh(s / cap) before the softmax; null for no such cap.</summary>
    public double? AttentionSoftCap { get; init; }

    /// <summary>The same of the logits.</summary>
    public double? LogitSoftCap { get; init; }

    /// <summary>Granite: logits are divided by this.</summary>
    public double LogitDivisor { get; init; } = 1;

    /// <summary>Granite: what attention and MLP add to the residual stream is multiplied by this.</summary>
    public double ResidualScale { get; init; } = 1;

    /// <summary>Gemma 3: the rotary embedding of blocks with a sliding window; null where they have the same as others.</summary>
    public RopeConfig? LocalRope { get; init; }

    /// <summary>SmolLM3: per block whether it rotates at all; null where all do.</summary>
    public IReadOnlyList<bool>? Rotates { get; init; }

    /// <summary>Whether a block's attention is the usual one; kernels that fuse it know no other.</summary>
    public bool HasUsualAttention => AttentionSoftCap is null && LocalRope is null && Rotates is null && QkNorm != QkNorm.RmsOfAllHeads;

    /// <summary>The config.json that this was read from.</summary>
    public required JsonObject Json { get; init; }

    /// <summary>The method of quantization_config, where it is another than ours; null if there is none.</summary>
    public string? ForeignQuantization =>
        Json["quantization_config"] is not JsonObject quantization ? null
        : quantization["quant_method"] is not JsonValue method || !method.TryGetValue<string>(out var name) ? "unknown method"
        : name == "qbb" ? null : name;

    /// <summary>The values of model_type that can be read.</summary>
    public static IReadOnlyList<string> KnownModelTypes => DecoderConfigReader.KnownModelTypes;

    /// <summary>Multiplier of the attention scores in one block.</summary>
    public double ScaleOf(int block) => ScaleByInverseBlock ? AttentionScale / (block + 1) : AttentionScale;

    /// <summary>Reads config.json in its old spelling (rope_theta, rope_scaling, rotary_pct, …) or its new one (rope_parameters).</summary>
    /// <exception cref="InvalidInputException">
    /// The model type is unknown, a size is missing or impossible, or a setting is not supported; the message names it.
    /// </exception>
    public static DecoderConfig FromJson(JsonObject config) => DecoderConfigReader.Read(config);
}
