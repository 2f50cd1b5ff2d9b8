namespace Qbb.Quantizer.Methods.Rounding;

/// <summary><see cref="OmniquantMethod"/> for one row, in double and value by value.</summary>
internal static class ReferenceOmniquant
{
    /// <summary>The rounded row [in], and its objective.</summary>
    /// <param name="w">[in]</param>
    /// <param name="h">[in, in]</param>
    /// <param name="unit">What the loss is divided by.</param>
    /// <param name="bits">Of a code.</param>
    /// <param name="group">Columns that share a scale.</param>
    public static (double[] Values, double Objective) Row(double[] w, double[,] h, double unit, int bits, int group)
    {
        var groups = (w.Length - 1) / group + 1;
        double largest = (1 << bits) - 1;
        double[] upper = [.. Enumerable.Repeat((double)OmniquantMethod.Start, groups)], lower = [.. upper];
        double[] firstUpper = new double[groups], secondUpper = new double[groups], firstLower = new double[groups], secondLower = new double[groups];
        (double[] Values, double Objective) best = ([], double.PositiveInfinity);
        for (var step = 1; step <= OmniquantMethod.Steps(bits) + 1; step++)
        {
            var (values, slopes) = (new double[w.Length], new double[w.Length]);
            for (var j = 0; j < w.Length; j++)
            {
                var (low, high) = Range(j / group);
                var bottom = low * Sigmoid(lower[j / group]);
                var scale = (high * Sigmoid(upper[j / group]) - bottom) / largest;
                var zero = Math.Round(-bottom / scale);
                var unclamped = Math.Round(w[j] / scale) + zero;
                var code = Math.Clamp(unclamped, 0, largest);
                values[j] = (code - zero) * scale;
                slopes[j] = code - zero - (code == unclamped ? w[j] / scale : 0);
            }
            var (objective, gradient) = (0.0, new double[groups]);
            for (var j = 0; j < w.Length; j++)
            {
                var product = 0.0;
                for (var k = 0; k < w.Length; k++)
                    product += (values[k] - w[k]) * h[k, j];
                objective += product * (values[j] - w[j]);
                gradient[j / group] += 2 * product * slopes[j] / largest / unit;
            }
            if (objective < best.Objective)
                best = (values, objective);
            for (var k = 0; k < groups; k++)
            {
                var (low, high) = Range(k);
                Adam(ref upper[k], gradient[k] * high * Sigmoid(upper[k]) * (1 - Sigmoid(upper[k])), ref firstUpper[k], ref secondUpper[k], step);
                Adam(ref lower[k], -gradient[k] * low * Sigmoid(lower[k]) * (1 - Sigmoid(lower[k])), ref firstLower[k], ref secondLower[k], step);
            }
        }
        return best;

        (double Low, double High) Range(int place)
        {
            var part = w.Skip(place * group).Take(group).ToList();
            return (Math.Min(0, part.Min()), Math.Max(0, part.Max()));
        }
    }

    private static double Sigmoid(double x) => 1 / (1 + Math.Exp(-x));

    private static void Adam(ref double value, double gradient, ref double first, ref double second, int step)
    {
        first = 0.9 * first + 0.1 * gradient;
        second = 0.999 * second + 0.001 * gradient * gradient;
        value -= 0.01 * (first / (1 - Math.Pow(0.9, step))) / (Math.Sqrt(second / (1 - Math.Pow(0.999, step))) + 1e-8);
    }
}
