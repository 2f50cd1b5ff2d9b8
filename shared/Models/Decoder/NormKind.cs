namespace Qbb.Models.Decoder;

/// <summary>The normalisation of a decoder.</summary>
public enum NormKind
{
    /// <summary>y = x / sqrt(mean(x²) + ε) · w</summary>
    Rms,

    /// <summary>Gemma: y = x / sqrt(mean(x²) + ε) · (1 + w)</summary>
    RmsPlusOne,

    /// <summary>y = (x − mean) / sqrt(var + ε) · w + b</summary>
    LayerNorm,

    /// <summary>Layer normalisation without weight and bias (OPT with layer_norm_elementwise_affine false).</summary>
    LayerNormPlain,
}
