namespace Qbb.Quantizer.Methods.Lattice;

/// <summary>The steps of <see cref="QuipMethod"/> one row at a time, with sums as the paper writes them.</summary>
internal static class ReferenceQuip
{
    private const int Width = E8Codebook.Width;

    /// <summary>The values of the codes for a row of weights of unit size, given H after the transforms.</summary>
    public static double[] Row(double[] w, double[,] h, LatticeCode code)
    {
        var features = w.Length;
        var (lower, values) = (BlockLower(h, features), new double[features]);
        for (var first = features - Width; first >= 0; first -= Width)
        {
            var wanted = w[first..(first + Width)];
            for (var i = 0; i < Width; i++)
            {
                for (var j = first + Width; j < features; j++)
                    wanted[i] += (w[j] - values[j]) * lower[j, first + i];
            }
            code.Round(wanted, values.AsSpan(first, Width));
        }
        for (var sweep = 0; sweep < QuipMethod.Sweeps; sweep++)
        {
            for (var first = features - Width; first >= 0; first -= Width)
            {
                var gradient = new double[Width];
                for (var i = 0; i < Width; i++)
                {
                    for (var j = 0; j < features; j++)
                        gradient[i] += (w[j] - values[j]) * h[j, first + i];
                }
                var best = Solve(h, first, gradient);
                double[] trial = [.. values];
                for (var i = 0; i < Width; i++)
                    best[i] += values[first + i];
                code.Round(best, trial.AsSpan(first, Width));
                if (Objective(w, trial, h) < Objective(w, values, h))
                    values = trial;
            }
        }
        return values;
    }

    /// <summary>(w − v)H(w − v)ᵀ</summary>
    public static double Objective(double[] w, double[] v, double[,] h)
    {
        var sum = 0.0;
        for (var i = 0; i < w.Length; i++)
        {
            for (var j = 0; j < w.Length; j++)
                sum += (w[i] - v[i]) * h[i, j] * (w[j] - v[j]);
        }
        return sum;
    }

    /// <summary>L by elimination, block by block from the first: H's column block times the inverse of its diagonal block, taken off the rest.</summary>
    private static double[,] BlockLower(double[,] h, int features)
    {
        var rest = (double[,])h.Clone();
        var lower = new double[features, features];
        for (var first = 0; first < features; first += Width)
        {
            for (var row = first; row < features; row++)
            {
                // row·D⁻¹ is the solution of D·y = rowᵀ, D symmetric.
                var y = Solve(rest, first, [.. Enumerable.Range(first, Width).Select(j => rest[row, j])]);
                for (var i = 0; i < Width; i++)
                    lower[row, first + i] = y[i];
            }
            for (var row = first + Width; row < features; row++)
            {
                for (var column = first + Width; column < features; column++)
                {
                    for (var i = 0; i < Width; i++)
                        rest[row, column] -= lower[row, first + i] * rest[first + i, column];
                }
            }
        }
        return lower;
    }

    /// <summary>y of D·y = b, D the diagonal block at a place, by Gauss's elimination.</summary>
    private static double[] Solve(double[,] matrix, int first, double[] b)
    {
        var d = new double[Width, Width + 1];
        for (var i = 0; i < Width; i++)
        {
            for (var j = 0; j < Width; j++)
                d[i, j] = matrix[first + i, first + j];
            d[i, Width] = b[i];
        }
        for (var k = 0; k < Width; k++)
        {
            for (var i = 0; i < Width; i++)
            {
                var factor = i == k ? 0 : d[i, k] / d[k, k];
                for (var j = k; j <= Width; j++)
                    d[i, j] -= factor * d[k, j];
            }
        }
        return [.. Enumerable.Range(0, Width).Select(i => d[i, Width] / d[i, i])];
    }
}
