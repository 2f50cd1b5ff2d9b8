using Qbb.Models;

namespace Qbb.Quantizer.Methods.OutputAware;

/// <summary>
/// What the steps need of a layer's inputs: H damped, and factors of its inverse with the columns in order of falling H_jj (GPTQ's
/// act-order).
/// </summary>
internal sealed class Curvature
{
    /// <summary>The most damping that is tried, in units of the diagonal's mean.</summary>
    public const double MostDamping = 1e6;

    private Curvature(double[] matrix, int[] order, double[] factor, double[] inverseDiagonal, double damping) =>
        (Matrix, Order, Factor, InverseDiagonal, Damping) = (matrix, order, factor, inverseDiagonal, damping);

    /// <summary>in.</summary>
    public int Features => Order.Length;

    /// <summary>H + damping, row-major [in, in], symmetric and positive definite.</summary>
    public double[] Matrix { get; }

    /// <summary>Columns by falling H_jj; among equals, by place.</summary>
    public int[] Order { get; }

    /// <summary>U, upper triangular [in, in], of the ordered columns: UᵀU is the inverse of the damped H.</summary>
    public double[] Factor { get; }

    /// <summary>[H⁻¹]_jj [in], in the layer's order.</summary>
    public double[] InverseDiagonal { get; }

    /// <summary>What was added to the diagonal, in units of its mean.</summary>
    public double Damping { get; }

    /// <summary>
    /// Damps H by 0.01 of its mean diagonal, ten times more where Cholesky's factors do not exist. A column whose inputs were all 0 keeps
    /// the damping as its only weight; where all were, H is the identity.
    /// </summary>
    /// <param name="inputs">The layer's inputs.</param>
    /// <param name="layer">Name for messages.</param>
    /// <exception cref="InvalidInputException">The inputs are not finite.</exception>
    public static Curvature Of(InputStatistics inputs, string layer) => Of(inputs.Mean(), layer);

    /// <param name="matrix">H [in, in]; becomes the damped one.</param>
    /// <param name="layer">Name for messages.</param>
    public static Curvature Of(double[] matrix, string layer)
    {
        var features = (int)Math.Round(Math.Sqrt(matrix.Length));
        var diagonal = new double[features];
        for (var j = 0; j < features; j++)
            diagonal[j] = matrix[(long)j * features + j];
        var mean = diagonal.Average();
        if (!double.IsFinite(mean) || mean < 0)
            throw NotFinite(layer);
        var order = Enumerable.Range(0, features).OrderByDescending(j => diagonal[j]).ToArray();
        for (var damping = InputStatistics.Damping; damping <= MostDamping; damping *= 10)
        {
            for (var j = 0; j < features; j++)
                matrix[(long)j * features + j] = mean > 0 ? diagonal[j] + damping * mean : 1;
            if (Factorize(matrix, order) is { } found)
                return new Curvature(matrix, order, found.Factor, found.InverseDiagonal, damping);
        }
        throw NotFactorized(layer);
    }

    /// <summary>The error for inputs that are not finite.</summary>
    public static InvalidInputException NotFinite(string layer) => new(
        $"{layer}: its inputs in calibration are not finite numbers; the model overflows on this data in this precision");

    /// <summary>The error for an H that no damping helps.</summary>
    public static InvalidInputException NotFactorized(string layer) => new(
        $"{layer}: the second moments of its inputs in calibration cannot be factorized even with damping {MostDamping:g1}; " +
        "look at the calibration data");

    /// <summary>tr(W H Wᵀ).</summary>
    public double SquaredNorm(LayerWeights weights, int threads)
    {
        const int Rows = 16;
        var features = weights.InFeatures;
        var sums = new double[weights.OutFeatures];
        Parallel.For(0, (weights.OutFeatures + Rows - 1) / Rows, new ParallelOptions { MaxDegreeOfParallelism = threads }, block =>
        {
            var first = block * Rows;
            var count = Math.Min(Rows, weights.OutFeatures - first);
            var values = BlockWorker.Widen(weights, first, count);
            var products = new double[values.Length];
            BlockProduct.Add(values, features, count, features, Matrix, features, features, products, features);
            for (var row = 0; row < count; row++)
                sums[first + row] = BlockProduct.Dot(values.AsSpan(row * features, features), products.AsSpan(row * features, features));
        });
        return sums.Sum();
    }

    private static (double[] Factor, double[] InverseDiagonal)? Factorize(double[] matrix, int[] order)
    {
        using var scope = torch.NewDisposeScope();
        var index = torch.tensor(Array.ConvertAll(order, j => (long)j));
        var ordered = torch.from_array(matrix, order.Length, order.Length).index_select(0, index).index_select(1, index);
        var (lower, failed) = torch.linalg.cholesky_ex(ordered);
        if (failed.ToInt64() != 0)
            return null;
        var inverse = torch.cholesky_inverse(lower);
        var (second, failedToo) = torch.linalg.cholesky_ex(inverse);
        if (failedToo.ToInt64() != 0)
            return null;
        var orderedDiagonal = inverse.diagonal().ToArray<double>();
        var diagonal = new double[order.Length];
        for (var k = 0; k < order.Length; k++)
            diagonal[order[k]] = orderedDiagonal[k];
        return (second.t().ToArray<double>(), diagonal);
    }
}
