namespace Qbb.Quantizer.Methods.OutputAware;

/// <summary>The steps for one row as their definitions have them, on dense arrays: the yardstick of the fast forms.</summary>
internal static class ReferenceSteps
{
    /// <summary>GPTQ's loop, column by column; returns ŵ [in].</summary>
    /// <param name="w">[in]</param>
    /// <param name="order">Columns in the order of the loop.</param>
    /// <param name="factor">Upper factor [in, in] of the inverse of H in that order.</param>
    /// <param name="levels">The levels that a column may take.</param>
    public static double[] ColumnFeedback(ReadOnlySpan<double> w, int[] order, double[] factor, Func<int, double[]> levels)
    {
        var left = w.ToArray();
        var result = new double[w.Length];
        for (var k = 0; k < order.Length; k++)
        {
            var column = order[k];
            result[column] = Nearest(levels(column), left[column]);
            var error = (left[column] - result[column]) / factor[k * order.Length + k];
            for (var next = k + 1; next < order.Length; next++)
                left[order[next]] -= error * factor[k * order.Length + next];
        }
        return result;
    }

    /// <summary>One sweep of coordinate descent, every gradient summed anew; changes ŵ.</summary>
    public static void CoordinateDescent(ReadOnlySpan<double> w, double[] matrix, Func<int, double[]> levels, Span<double> result)
    {
        for (var column = 0; column < w.Length; column++)
        {
            var gradient = 0.0;
            for (var k = 0; k < w.Length; k++)
                gradient += (w[k] - result[k]) * matrix[k * w.Length + column];
            result[column] = Nearest(levels(column), result[column] + gradient / matrix[column * w.Length + column]);
        }
    }

    /// <summary>The a [unknowns] of least (w − Xa)H(w − Xa)ᵀ by Gauss-Jordan elimination of the dense normal equations.</summary>
    /// <param name="w">[in]</param>
    /// <param name="matrix">H [in, in].</param>
    /// <param name="design">X [in, unknowns].</param>
    public static double[] JointScales(ReadOnlySpan<double> w, double[] matrix, double[,] design)
    {
        var (features, unknowns) = (design.GetLength(0), design.GetLength(1));
        var equations = new double[unknowns, unknowns + 1];
        for (var j = 0; j < features; j++)
        {
            for (var k = 0; k < features; k++)
            {
                for (var p = 0; p < unknowns; p++)
                {
                    var left = design[j, p] * matrix[j * features + k];
                    for (var q = 0; q < unknowns; q++)
                        equations[p, q] += left * design[k, q];
                    equations[p, unknowns] += left * w[k];
                }
            }
        }
        for (var p = 0; p < unknowns; p++)
        {
            for (var q = 0; q < unknowns; q++)
            {
                if (q == p)
                    continue;
                var factor = equations[q, p] / equations[p, p];
                for (var k = p; k <= unknowns; k++)
                    equations[q, k] -= factor * equations[p, k];
            }
        }
        return [.. Enumerable.Range(0, unknowns).Select(p => equations[p, unknowns] / equations[p, p])];
    }

    /// <summary>eHeᵀ.</summary>
    public static double Objective(ReadOnlySpan<double> e, double[] matrix)
    {
        var sum = 0.0;
        for (var j = 0; j < e.Length; j++)
        {
            for (var k = 0; k < e.Length; k++)
                sum += e[j] * matrix[j * e.Length + k] * e[k];
        }
        return sum;
    }

    /// <summary>The nearest of some levels.</summary>
    public static double Nearest(double[] levels, double value) => levels.MinBy(level => Math.Abs(level - value));
}
