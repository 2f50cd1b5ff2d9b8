namespace Qbb.Quantizer.Methods.Alternating;

/// <summary>
/// A uniform grid of 2^N values is N bases and a bias: lo + q·s = Σ_i 2^(N−1−i)·(s/2)·b_i + (lo + s·(2^N − 1)/2) for q = 0 … 2^N − 1. Its
/// offset is free: no integer zero point.
/// </summary>
internal static class UniformStart
{
    /// <summary>The shares of the group's range that the grids span.</summary>
    public static ReadOnlySpan<double> Clips => [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4];

    /// <summary>
    /// Scales [N] of the grid from clip·smallest to clip·largest, and its bias. Without a bias the grid is symmetric about 0.
    /// </summary>
    public static double Levels(double smallest, double largest, double clip, bool bias, Span<double> alpha)
    {
        var half = clip * (bias ? (largest - smallest) / 2 : Math.Max(Math.Abs(smallest), Math.Abs(largest)));
        var unit = half / ((1 << alpha.Length) - 1);
        for (var basis = 0; basis < alpha.Length; basis++)
            alpha[basis] = unit * (1 << (alpha.Length - 1 - basis));
        return bias ? clip * (smallest + largest) / 2 : 0;
    }
}
