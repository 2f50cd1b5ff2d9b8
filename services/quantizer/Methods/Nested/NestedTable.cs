using Qbb.Quantizer.Methods.Alternating;
using Qbb.Quantizer.Methods.OutputAware;

namespace Qbb.Quantizer.Methods.Nested;

/// <summary>The levels of every n in every group of some rows, and the code that suits several targets best.</summary>
internal sealed class NestedTable(int rows, int groups, int bases)
{
    private readonly double[][] _levels = [.. Enumerable.Range(1, bases).Select(count => new double[rows * groups << count])];
    private readonly double[] _costs = new double[1 << bases];
    private readonly double[] _sums = new double[1 << bases];

    /// <summary>Takes the scales of n = 1 … N.</summary>
    public void Update(RowBlock[] blocks)
    {
        for (var n = 0; n < bases; n++)
        {
            for (var row = 0; row < blocks[n].Rows; row++)
            {
                for (var group = 0; group < groups; group++)
                    GroupFit.Levels(blocks[n].AlphaOf(row, group), blocks[n].Beta[row * groups + group], LevelsOf(row, group, n));
            }
        }
    }

    /// <summary>The level that the first n + 1 bases of a code make.</summary>
    public double Level(int row, int group, int n, int code) => LevelsOf(row, group, n)[code & NestedFit.Mask(n + 1)];

    /// <summary>The code of least Σ_n λ_n (target_n − L_n[c])²; of equally good ones the smallest.</summary>
    /// <param name="row">Which row.</param>
    /// <param name="group">Which group.</param>
    /// <param name="targets">[N]</param>
    /// <param name="importance">λ [N].</param>
    public int Best(int row, int group, ReadOnlySpan<double> targets, ReadOnlySpan<double> importance)
    {
        // The sums over n of a code are those of its low bits and one more term: 2^(N+1) terms in all.
        _sums[0] = 0;
        for (var n = 0; n < bases; n++)
        {
            var levels = LevelsOf(row, group, n);
            for (var code = 0; code < levels.Length; code++)
            {
                var distance = targets[n] - levels[code];
                _costs[code] = _sums[code & NestedFit.Mask(n)] + importance[n] * distance * distance;
            }
            _costs.AsSpan(0, levels.Length).CopyTo(_sums);
        }
        var best = 0;
        for (var code = 1; code < _sums.Length; code++)
        {
            if (_sums[code] < _sums[best])
                best = code;
        }
        return best;
    }

    private Span<double> LevelsOf(int row, int group, int n) => _levels[n].AsSpan((row * groups + group) << n + 1, 2 << n);
}
