namespace Qbb.Recipes;

/// <summary>The starting points that alternating refinement tries; of several the better one is kept, group by group.</summary>
public enum Starts
{
    /// <summary>The recipe's <see cref="Init"/> alone.</summary>
    Greedy,

    /// <summary>Uniform grids with a free offset, clipped more and more.</summary>
    Uniform,

    /// <summary>Both.</summary>
    Both,
}
