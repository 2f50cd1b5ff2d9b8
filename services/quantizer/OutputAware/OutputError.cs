namespace Qbb.Quantizer.OutputAware;

/// <summary>
/// The error of a layer's outputs, tr((W − Ŵ) H (W − Ŵ)ᵀ) with H damped, in the form that is stored after each step. It never rises.
/// </summary>
/// <param name="Norm">tr(W H Wᵀ).</param>
/// <param name="AfterStep">
/// After the weighted refinement, the column feedback, and then the joint scales, coordinate descent, joint scales, coordinate descent,
/// joint scales. For a nested layer at the end alone, with all bases.
/// </param>
/// <param name="Damping">What was added to every diagonal element of H, in units of their mean.</param>
/// <param name="Tokens">Inputs that H was summed over.</param>
public sealed record OutputError(double Norm, IReadOnlyList<double> AfterStep, double Damping, long Tokens)
{
    /// <summary>The last error over the norm.</summary>
    public double Relative => Norm > 0 ? AfterStep[^1] / Norm : 0;
}
