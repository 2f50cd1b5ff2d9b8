namespace Qbb.Models.Decoder;

/// <summary>How rotary frequencies are stretched for contexts longer than those of training.</summary>
public enum RopeKind
{
    Default,

    /// <summary>All frequencies divided by the factor.</summary>
    Linear,

    /// <summary>NTK-aware: the base grows with the sequence once it is longer than max_position_embeddings.</summary>
    Dynamic,

    /// <summary>YaRN (arXiv 2309.00071): high frequencies kept, low ones divided, a ramp between.</summary>
    Yarn,

    /// <summary>Llama 3.1: as YaRN with bounds given as wavelengths.</summary>
    Llama3,

    /// <summary>LongRoPE (Phi-3): one divisor per frequency, a short and a long set.</summary>
    LongRope,
}
