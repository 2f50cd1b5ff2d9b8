using Qbb.Quantizer.Methods.Alternating;
using Qbb.Quantizer.Methods.Grids;

namespace Qbb.Quantizer.Methods.OutputAware;

/// <summary>The 2^N levels of every group of some rows, in rising order, to look the nearest one up. On a grid it is calculated.</summary>
internal sealed class LevelTable(int rows, int groups, int bases, LevelGrid? grid = null)
{
    private readonly int _count = 1 << bases;
    private readonly double[] _levels = grid is null ? new double[rows * groups << bases] : [];
    private readonly double[] _middles = grid is null ? new double[rows * groups << bases] : [];
    private readonly byte[] _codes = grid is null ? new byte[rows * groups << bases] : [];
    private readonly GridScales[] _scales = grid is null ? [] : new GridScales[rows * groups];

    /// <summary>Takes the scales [N] and the bias of one group.</summary>
    public void Set(int row, int group, ReadOnlySpan<double> alpha, double beta)
    {
        if (grid is not null)
        {
            _scales[row * groups + group] = grid.Read(alpha, beta);
            return;
        }
        var first = (row * groups + group) * _count;
        var levels = _levels.AsSpan(first, _count);
        var codes = _codes.AsSpan(first, _count);
        GroupFit.Levels(alpha, beta, levels);
        for (var code = 0; code < _count; code++)
            codes[code] = (byte)code;
        levels.Sort(codes);
        for (var k = 0; k + 1 < _count; k++)
            _middles[first + k] = (levels[k] + levels[k + 1]) / 2;
        _middles[first + _count - 1] = double.PositiveInfinity;
    }

    /// <summary>The level nearest to a value, of two equally near ones the larger (on a grid that of the larger q), and its code.</summary>
    public double Nearest(int row, int group, double value, out byte code)
    {
        if (grid is not null)
        {
            var scales = _scales[row * groups + group];
            var q = grid.Nearest(scales, value);
            code = grid.CodeOf(q);
            return scales.Level(q);
        }
        var place = (row * groups + group) * _count;
        for (var step = _count / 2; step > 0; step >>= 1)
            place += value >= _middles[place + step - 1] ? step : 0;
        code = _codes[place];
        return _levels[place];
    }
}
