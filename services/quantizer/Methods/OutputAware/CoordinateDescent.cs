namespace Qbb.Quantizer.Methods.OutputAware;

/// <summary>
/// One sweep over the columns of some rows. With everything else as it is, eHeᵀ as a function of ŵ_j is a parabola about
/// w_j − e_j + (eH)_j/H_jj: the nearest level is the best one, and the objective cannot rise. eH is kept up to date column by column
/// within a block, and once per block outside. <see cref="ReferenceSteps.CoordinateDescent"/> is the plain form.
/// </summary>
internal sealed class CoordinateDescent(double[] matrix, int features, int capacity)
{
    /// <summary>Columns of a block.</summary>
    public const int Block = 128;

    private readonly double[] _changes = new double[capacity * Block];

    /// <summary>Improves the signs of a block of rows whose errors and gradients are up to date; keeps them so.</summary>
    /// <param name="weights">[rows, in]</param>
    /// <param name="block">Changed.</param>
    public void Run(double[] weights, RowBlock block)
    {
        for (var first = 0; first < features; first += Block)
        {
            var last = Math.Min(first + Block, features);
            var changed = false;
            for (var row = 0; row < block.Rows; row++)
                changed |= RunRow(weights, block, row, first, last);
            if (!changed)
                continue;
            Spread(block, first, last, 0, first);
            if (last < features)
                Spread(block, first, last, last, features);
        }
        block.MeasureObjective();
    }

    /// <summary>What the changes of columns [first, last) do to the gradients of columns [from, to).</summary>
    private void Spread(RowBlock block, int first, int last, int from, int to) => BlockProduct.Add(
        _changes, Block, block.Rows, last - first, matrix.AsSpan(first * features + from), features, to - from,
        block.Gradient.AsSpan(from), features);

    private bool RunRow(double[] weights, RowBlock block, int row, int first, int last)
    {
        var changed = false;
        for (var column = first; column < last; column++)
        {
            var place = row * features + column;
            var best = weights[place] - block.Error[place] + block.Gradient[place] / matrix[(long)column * features + column];
            var level = block.Levels.Nearest(row, column / block.GroupSize, best, out block.Codes[place]);
            var error = weights[place] - level;
            var change = error - block.Error[place];
            _changes[row * Block + column - first] = change;
            if (change == 0)
                continue;
            changed = true;
            block.Error[place] = error;
            BlockProduct.AddScaled(
                matrix.AsSpan(column * features + first, last - first), change, block.Gradient.AsSpan(row * features + first, last - first));
        }
        return changed;
    }
}
