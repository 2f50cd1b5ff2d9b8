using Qbb.Quantizer.Methods.Alternating;

namespace Qbb.Quantizer.Methods.Nested;

/// <summary>The steps of nested refinement as their definitions have them: the yardstick of <see cref="NestedRefiner"/>.</summary>
internal static class ReferenceNested
{
    /// <summary>The code of least Σ_n λ_n (w − L_n[c])² for every weight, by trying all.</summary>
    public static void Assign(ReadOnlySpan<float> w, NestedFit fit, ReadOnlySpan<double> weights, Span<byte> codes)
    {
        for (var j = 0; j < w.Length; j++)
        {
            var best = double.PositiveInfinity;
            for (var code = 0; code < 1 << fit.Bases; code++)
            {
                var cost = Cost(w[j], code, fit, weights);
                if (cost < best)
                    (best, codes[j]) = (cost, (byte)code);
            }
        }
    }

    /// <summary>Scales and biases of least error for every n, given the signs; returns J = Σ_n λ_n·Σ_j h_j (w_j − ŵ_n,j)².</summary>
    public static double LeastSquares(
        ReadOnlySpan<float> w, ReadOnlySpan<double> importance, ReadOnlySpan<double> weights, bool bias, NestedFit fit)
    {
        var masked = new byte[w.Length];
        for (var count = 1; count <= fit.Bases; count++)
        {
            for (var j = 0; j < w.Length; j++)
                masked[j] = (byte)(fit.Codes[j] & NestedFit.Mask(count));
            fit.Beta[count - 1] = ReferenceAlternating.LeastSquares(w, masked, bias, fit.Alpha[count - 1], importance);
        }
        return Objective(w, importance, weights, fit);
    }

    /// <summary>J of signs and scales as they are.</summary>
    public static double Objective(ReadOnlySpan<float> w, ReadOnlySpan<double> importance, ReadOnlySpan<double> weights, NestedFit fit)
    {
        var sum = 0.0;
        for (var j = 0; j < w.Length; j++)
            sum += (importance.IsEmpty ? 1 : importance[j]) * Cost(w[j], fit.Codes[j], fit, weights);
        return sum;
    }

    /// <summary>The column loop for one row, column by column; returns its codes [in].</summary>
    /// <param name="w">[in]</param>
    /// <param name="order">Columns in the order of the loop.</param>
    /// <param name="factor">Upper factor [in, in] of the inverse of H in that order.</param>
    /// <param name="levels">Of a column and n (from 0): its levels [2^(n + 1)].</param>
    /// <param name="weights">λ [N].</param>
    public static byte[] ColumnFeedback(ReadOnlySpan<double> w, int[] order, double[] factor, Func<int, int, double[]> levels, double[] weights)
    {
        var left = new double[weights.Length][];
        for (var n = 0; n < left.Length; n++)
            left[n] = w.ToArray();
        var codes = new byte[w.Length];
        for (var k = 0; k < order.Length; k++)
        {
            var column = order[k];
            codes[column] = (byte)Enumerable.Range(0, 1 << left.Length).MinBy(code => Enumerable.Range(0, left.Length)
                .Sum(n => weights[n] * Math.Pow(left[n][column] - levels(column, n)[code & NestedFit.Mask(n + 1)], 2)));
            for (var n = 0; n < left.Length; n++)
            {
                var error = (left[n][column] - levels(column, n)[codes[column] & NestedFit.Mask(n + 1)]) / factor[k * order.Length + k];
                for (var next = k + 1; next < order.Length; next++)
                    left[n][order[next]] -= error * factor[k * order.Length + next];
            }
        }
        return codes;
    }

    private static double Cost(double w, int code, NestedFit fit, ReadOnlySpan<double> weights)
    {
        var cost = 0.0;
        for (var count = 1; count <= fit.Bases; count++)
        {
            var value = fit.Beta[count - 1];
            for (var i = 0; i < count; i++)
                value += (code >> i & 1) == 1 ? fit.Alpha[count - 1][i] : -fit.Alpha[count - 1][i];
            cost += weights[count - 1] * (w - value) * (w - value);
        }
        return cost;
    }
}
