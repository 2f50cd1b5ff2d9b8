namespace Qbb.Models.Decoder;

/// <summary>How the parts of a fused linear layer lie along its output rows.</summary>
public enum Fusion
{
    /// <summary>Not fused.</summary>
    None,

    /// <summary>One part after the other: GPT-2's c_attn, Phi-3's qkv_proj and gate_up_proj.</summary>
    Concatenated,

    /// <summary>For each head its query rows, then its key rows, then its value rows: GPT-NeoX's query_key_value.</summary>
    InterleavedByHead,
}
