namespace Qbb.Recipes;

/// <summary>How signs and scales are improved after the start.</summary>
public enum Refinement
{
    /// <summary>Not at all.</summary>
    None,

    /// <summary>Gradient descent, one basis after the other with all scales (the QBB paper's progressive curriculum).</summary>
    Gradient,

    /// <summary>Gradient descent on all bases at once.</summary>
    Simultaneous,

    /// <summary>Least squares for the scales and the nearest level for the signs, in turn.</summary>
    Alternating,
}
