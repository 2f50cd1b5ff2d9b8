namespace Qbb.Models.Decoder;

/// <summary>The feed-forward part of a block.</summary>
public enum MlpKind
{
    /// <summary>down(f(gate(x)) · up(x))</summary>
    Gated,

    /// <summary>down(f(up(x)))</summary>
    Plain,
}
