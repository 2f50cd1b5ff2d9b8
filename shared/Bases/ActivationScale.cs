namespace Qbb.Bases;

/// <summary>Which inputs share the scale of their int8 form.</summary>
public enum ActivationScale
{
    /// <summary>All inputs of a token.</summary>
    Token,

    /// <summary>The inputs of a token in one group of the weight.</summary>
    Group,
}
