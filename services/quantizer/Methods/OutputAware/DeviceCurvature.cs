using Qbb.Models;

namespace Qbb.Quantizer.Methods.OutputAware;

/// <summary>
/// <see cref="Curvature"/> on a device: H damped, and factors of its inverse with the columns in order of falling H_jj. Factorized in
/// double, kept in the type that the steps calculate in. Tensors belong to the scope that it was made in.
/// </summary>
/// <param name="Matrix">H + damping, [in, in].</param>
/// <param name="Order">Columns by falling H_jj, i64 [in].</param>
/// <param name="Factor">U, upper triangular [in, in], of the ordered columns: UᵀU is the inverse of the damped H.</param>
/// <param name="Importance">1/[H⁻¹]_jj in the layer's order, f64 [in].</param>
/// <param name="Damping">What was added to the diagonal, in units of its mean.</param>
internal sealed record DeviceCurvature(Tensor Matrix, Tensor Order, Tensor Factor, Tensor Importance, double Damping)
{
    /// <param name="matrix">H, f64 [in, in]; becomes the damped one.</param>
    /// <param name="layer">Name for messages.</param>
    /// <param name="type">What the steps calculate in.</param>
    /// <exception cref="InvalidInputException">The inputs are not finite, or H cannot be factorized.</exception>
    public static DeviceCurvature Of(Tensor matrix, string layer, ScalarType type)
    {
        using var scope = torch.NewDisposeScope();
        var view = matrix.diagonal();
        var diagonal = view.clone();
        var mean = diagonal.mean().ToDouble();
        if (!double.IsFinite(mean) || mean < 0)
            throw Curvature.NotFinite(layer);
        var order = diagonal.sort(0, descending: true, stable: true).Indices;
        for (var damping = InputStatistics.Damping; damping <= Curvature.MostDamping; damping *= 10)
        {
            if (mean > 0)
                view.copy_(diagonal + damping * mean);
            else
                view.fill_(1);
            if (Factorize(matrix, order) is not { } found)
                continue;
            var inverse = torch.zeros_like(diagonal).scatter_(0, order, found.InverseDiagonal);
            return new DeviceCurvature(
                matrix.to(type).MoveToOuterDisposeScope(), order.MoveToOuterDisposeScope(), found.Factor.to(type).MoveToOuterDisposeScope(),
                inverse.reciprocal().MoveToOuterDisposeScope(), damping);
        }
        throw Curvature.NotFactorized(layer);
    }

    // One matrix [in, in] after the other is let go: at 11,008 inputs each takes a gigabyte.
    private static (Tensor Factor, Tensor InverseDiagonal)? Factorize(Tensor matrix, Tensor order)
    {
        using var scope = torch.NewDisposeScope();
        Tensor inverse;
        using (var rows = matrix.index_select(0, order))
        using (var ordered = rows.index_select(1, order))
        {
            rows.Dispose();
            var (lower, failed) = torch.linalg.cholesky_ex(ordered);
            if (failed.ToInt64() != 0)
                return null;
            ordered.Dispose();
            inverse = torch.cholesky_inverse(lower);
            lower.Dispose();
        }
        var diagonal = inverse.diagonal().clone();
        var (second, failedToo) = torch.linalg.cholesky_ex(inverse);
        if (failedToo.ToInt64() != 0)
            return null;
        // The upper factor's rows, which kernels read, are the lower one's columns.
        return (second.t().contiguous().MoveToOuterDisposeScope(), diagonal.MoveToOuterDisposeScope());
    }
}
