namespace Qbb.Quantizer.Methods.Grids;

/// <summary>
/// Fits step, minimum and levels of one group at a time to its weights: from grids that span more and more clipped ranges, least squares given the
/// levels and the nearest levels in turn, until the levels stay; the best, as it is stored, is kept. Reused for every group of a thread.
/// </summary>
/// <param name="grid">The levels.</param>
/// <param name="rounds">The most rounds from one start.</param>
/// <param name="capacity">The longest group.</param>
internal sealed class GridFit(LevelGrid grid, int rounds, int capacity)
{
    private readonly double[] _weights = new double[capacity];
    private readonly double[] _importance = [.. Enumerable.Repeat(1.0, capacity)];
    private readonly int[] _levels = new int[capacity];
    private readonly int[] _best = new int[capacity];

    /// <summary>Shares of the range that the starts span; wider ones than the weights' leave a coarse grid levels that it does not use.</summary>
    private readonly double[] _spans = grid.MostLevel switch
    {
        <= 3 => [2, 1.5, 1.2, 1, 0.85, 0.7, 0.55, 0.4],
        // Longer groups have outliers that are worth clipping.
        <= 31 when grid.HasZeros => [1.05, 1, 0.92, 0.84, 0.76, 0.68, 0.6, 0.53, 0.46, 0.4],
        <= 31 => [1.05, 1, 0.95, 0.9, 0.8, 0.7, 0.6],
        _ => [1, 0.99, 0.98, 0.96, 0.93, 0.89],
    };

    /// <summary>The scales of the first start, before anything is improved.</summary>
    public GridScales Start { get; private set; }

    /// <summary>The q of every weight of the group at hand.</summary>
    public ReadOnlySpan<int> Levels => _best;

    /// <summary>Fits a group.</summary>
    /// <param name="w">[g], finite.</param>
    /// <param name="importance">What an error counts [g], positive; empty for 1 each.</param>
    /// <returns>Step and minimum as they are stored.</returns>
    public GridScales Fit(ReadOnlySpan<float> w, ReadOnlySpan<double> importance)
    {
        var (smallest, largest) = (double.PositiveInfinity, double.NegativeInfinity);
        for (var j = 0; j < w.Length; j++)
        {
            _weights[j] = w[j];
            (smallest, largest) = (Math.Min(smallest, w[j]), Math.Max(largest, w[j]));
        }
        if (!importance.IsEmpty)
            importance.CopyTo(_importance);
        // Scales beyond fp16 have no error that is less.
        var best = (Error: double.PositiveInfinity, Scales: new GridScales(double.NaN, double.NaN));
        Start = grid.Round(SpanOf(smallest, largest, 1, 1));
        foreach (var share in _spans)
        {
            // Both signs of the step, or neighbours of a zero point that refinement would not leave.
            for (var sign = 1; sign >= (grid.HasZeros || !grid.IsFree ? -1 : 1); sign -= grid.HasZeros ? 1 : 2)
            {
                var start = SpanOf(smallest, largest, share, sign);
                var scales = grid.Round(Refine(w.Length, grid.HasZeros ? start with { Minimum = start.Minimum + sign * start.Step } : start));
                if (Assign(w.Length, scales).Error is var error && error < best.Error)
                {
                    best = (error, scales);
                    _levels.AsSpan(0, w.Length).CopyTo(_best);
                }
            }
        }
        return best.Scales;
    }

    /// <summary>The plain grid over a share of the range.</summary>
    private GridScales SpanOf(double smallest, double largest, double share, int sign)
    {
        if (grid.IsFree)
        {
            if (grid.HasWholeZeros)
                (smallest, largest) = (Math.Min(smallest, 0), Math.Max(largest, 0));
            var step = share * (largest - smallest) / grid.MostLevel;
            return new(step, (smallest + largest - step * grid.MostLevel) / 2);
        }
        // The side that reaches further takes the largest weight, for one of both signs of the step.
        var reach = Math.Max(-grid.Lowest - grid.LeastLevel, grid.MostLevel + grid.Lowest);
        var tied = sign * share * Math.Max(Math.Abs(smallest), Math.Abs(largest)) / reach;
        return new(tied, grid.Lowest * tied);
    }

    private GridScales Refine(int length, GridScales scales)
    {
        for (var round = 0; round < rounds; round++)
        {
            if (!Assign(length, scales).Changed && round > 0)
                break;
            scales = LeastSquares(length, scales);
        }
        return scales;
    }

    /// <summary>Gives every weight its nearest level; the weighted error, and whether a level changed.</summary>
    private (double Error, bool Changed) Assign(int length, GridScales scales)
    {
        var (sum, changed) = (0.0, false);
        for (var j = 0; j < length; j++)
        {
            var q = grid.Nearest(scales, _weights[j]);
            var error = _weights[j] - scales.Level(q);
            sum += _importance[j] * error * error;
            changed |= q != _levels[j];
            _levels[j] = q;
        }
        return (sum, changed);
    }

    /// <summary>Step and minimum of the least weighted error given the levels; what the levels leave open stays.</summary>
    private GridScales LeastSquares(int length, GridScales scales)
    {
        double mass = 0, linear = 0, square = 0, values = 0, product = 0;
        for (var j = 0; j < length; j++)
        {
            var (c, h) = (_levels[j] + grid.Lowest, _importance[j]);
            mass += h;
            linear += h * c;
            square += h * c * c;
            values += h * _weights[j];
            product += h * c * _weights[j];
        }
        if (!grid.IsFree)
            return square > 0 ? new(product / square, grid.Lowest * product / square) : scales;
        var determinant = mass * square - linear * linear;
        var step = determinant > 1e-12 * mass * square ? (mass * product - linear * values) / determinant : scales.Step;
        if (!grid.HasZeros)
            return new(step, (values - step * linear) / mass);
        // The step once more, for the zero point as it will be.
        var zero = grid.ZeroOf(new(step, (values - step * linear) / mass));
        var (around, along) = (square - 2 * zero * linear + zero * zero * mass, product - zero * values);
        return around > 0 ? new(along / around, -zero * along / around) : grid.Snap(scales);
    }
}
