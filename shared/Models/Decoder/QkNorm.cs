namespace Qbb.Models.Decoder;

/// <summary>Normalisation of queries and keys per head, before the rotary embedding.</summary>
public enum QkNorm
{
    None,

    /// <summary>Qwen3.</summary>
    Rms,

    /// <summary>Phi with qk_layernorm.</summary>
    LayerNorm,
}
