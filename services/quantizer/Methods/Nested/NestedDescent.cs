using Qbb.Quantizer.Methods.OutputAware;

namespace Qbb.Quantizer.Methods.Nested;

/// <summary>
/// One sweep of coordinate descent over codes that all n share. With everything else as it is, n's error as a function of ŵ_n,j is a parabola of
/// curvature H_jj about w_j − e_n,j + (e_n H)_j/H_jj: the best code is the one nearest to these targets, each n counting λ_n, and J = Σ_n λ_n
/// e_n H e_nᵀ cannot rise. Gradients are kept up to date as in <see cref="CoordinateDescent"/>.
/// </summary>
internal sealed class NestedDescent(double[] matrix, int features, int bases, int capacity)
{
    private const int Block = CoordinateDescent.Block;

    private readonly double[][] _changes = [.. Enumerable.Range(0, bases).Select(_ => new double[capacity * Block])];

    /// <summary>Improves the signs of some rows.</summary>
    /// <param name="weights">[rows, in]</param>
    /// <param name="blocks">The same rows with n = 1 … N bases, errors and gradients up to date; kept so.</param>
    /// <param name="levels">Of their scales.</param>
    /// <param name="importance">λ [rows, N].</param>
    public void Run(double[] weights, RowBlock[] blocks, NestedTable levels, double[] importance)
    {
        for (var first = 0; first < features; first += Block)
        {
            var last = Math.Min(first + Block, features);
            foreach (var changes in _changes)
                Array.Clear(changes);
            var changed = false;
            for (var row = 0; row < blocks[0].Rows; row++)
                changed |= RunRow(weights, blocks, levels, row, importance.AsSpan(row * bases, bases), first, last);
            if (!changed)
                continue;
            for (var n = 0; n < bases; n++)
            {
                Spread(n, blocks[n], first, last, 0, first);
                if (last < features)
                    Spread(n, blocks[n], first, last, last, features);
            }
        }
        foreach (var block in blocks)
            block.MeasureObjective();
    }

    private void Spread(int n, RowBlock block, int first, int last, int from, int to) => BlockProduct.Add(
        _changes[n], Block, block.Rows, last - first, matrix.AsSpan(first * features + from), features, to - from,
        block.Gradient.AsSpan(from), features);

    private bool RunRow(
        double[] weights, RowBlock[] blocks, NestedTable levels, int row, ReadOnlySpan<double> importance, int first, int last)
    {
        var changed = false;
        Span<double> targets = stackalloc double[bases];
        for (var column = first; column < last; column++)
        {
            var (place, group) = (row * features + column, column / blocks[0].GroupSize);
            for (var n = 0; n < bases; n++)
                targets[n] = weights[place] - blocks[n].Error[place] + blocks[n].Gradient[place] / matrix[(long)column * features + column];
            var code = levels.Best(row, group, targets, importance);
            if (code == blocks[^1].Codes[place])
                continue;
            changed = true;
            for (var n = 0; n < bases; n++)
            {
                var block = blocks[n];
                block.Codes[place] = (byte)(code & NestedFit.Mask(n + 1));
                var error = weights[place] - levels.Level(row, group, n, code);
                var change = error - block.Error[place];
                _changes[n][row * Block + column - first] = change;
                block.Error[place] = error;
                BlockProduct.AddScaled(
                    matrix.AsSpan(column * features + first, last - first), change, block.Gradient.AsSpan(row * features + first, last - first));
            }
        }
        return changed;
    }
}
