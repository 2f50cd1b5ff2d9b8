using Qbb.Quantizer.Methods.OutputAware;

namespace Qbb.Quantizer.Methods.Nested;

/// <summary>
/// GPTQ's column loop for several models that share their signs. Each n has its own weights left to express, which take up the errors that
/// n's earlier columns made; a column gets the code of least Σ_n λ_n (left_n − L_n[c])², each term being what the column adds to n's error up to
/// a factor that all have. With one n it is <see cref="ColumnFeedback"/>; <see cref="ReferenceNested.ColumnFeedback"/> is the plain form.
/// </summary>
internal sealed class NestedFeedback(Curvature curvature, int bases, int capacity)
{
    private const int Block = OutputAware.ColumnFeedback.Block;

    private readonly double[][] _left = [.. Enumerable.Range(0, bases).Select(_ => new double[capacity * curvature.Features])];
    private readonly double[][] _errors = [.. Enumerable.Range(0, bases).Select(_ => new double[capacity * Block])];

    /// <summary>Replaces the signs of some rows; scales stay.</summary>
    /// <param name="weights">[rows, in]</param>
    /// <param name="blocks">The same rows with n = 1 … N bases; errors are not up to date after.</param>
    /// <param name="levels">Of their scales.</param>
    /// <param name="importance">λ [rows, N].</param>
    public void Run(double[] weights, RowBlock[] blocks, NestedTable levels, double[] importance)
    {
        var (features, rows, order, factor) = (curvature.Features, blocks[0].Rows, curvature.Order, curvature.Factor);
        foreach (var left in _left)
        {
            for (var row = 0; row < rows; row++)
            {
                for (var k = 0; k < features; k++)
                    left[row * features + k] = weights[row * features + order[k]];
            }
        }
        for (var first = 0; first < features; first += Block)
        {
            var last = Math.Min(first + Block, features);
            for (var row = 0; row < rows; row++)
                RunRow(blocks, levels, row, importance.AsSpan(row * bases, bases), first, last);
            if (last == features)
                break;
            var behind = factor.AsSpan(first * features + last);
            for (var n = 0; n < bases; n++)
                BlockProduct.Add(_errors[n], Block, rows, last - first, behind, features, features - last, _left[n].AsSpan(last), features, -1);
        }
    }

    private void RunRow(RowBlock[] blocks, NestedTable levels, int row, ReadOnlySpan<double> importance, int first, int last)
    {
        var (features, order, factor) = (curvature.Features, curvature.Order, curvature.Factor);
        Span<double> left = stackalloc double[bases];
        for (var k = first; k < last; k++)
        {
            var group = order[k] / blocks[0].GroupSize;
            for (var n = 0; n < bases; n++)
                left[n] = _left[n][row * features + k];
            var code = levels.Best(row, group, left, importance);
            for (var n = 0; n < bases; n++)
            {
                blocks[n].Codes[row * features + order[k]] = (byte)(code & NestedFit.Mask(n + 1));
                var error = (left[n] - levels.Level(row, group, n, code)) / factor[(long)k * features + k];
                _errors[n][row * Block + k - first] = error;
                BlockProduct.AddScaled(
                    factor.AsSpan(k * features + k + 1, last - k - 1), -error, _left[n].AsSpan(row * features + k + 1, last - k - 1));
            }
        }
    }
}
