namespace Qbb.Models.Decoder;

/// <summary>Normalisation of queries and keys, per head but for one, before the rotary embedding.</summary>
public enum QkNorm
{
    None,

    /// <summary>Qwen3; Gemma 3 in its own form of the norm.</summary>
    Rms,

    /// <summary>OLMo 2: over all heads together.</summary>
    RmsOfAllHeads,

    /// <summary>Phi with qk_layernorm.</summary>
    LayerNorm,
}
