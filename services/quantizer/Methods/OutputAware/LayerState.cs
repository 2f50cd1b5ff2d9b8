using Qbb.Bases;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Quantizer.Methods.Grids;

namespace Qbb.Quantizer.Methods.OutputAware;

/// <summary>The signs of a whole layer as codes and its scales in fp16, between the bases it starts from and those it ends as.</summary>
internal sealed class LayerState
{
    private readonly BinaryBases _start;
    private readonly byte[] _codes;
    private readonly Half[] _alpha;
    private readonly float[]? _beta;
    private readonly LevelGrid? _grid;

    public LayerState(BinaryBases start, LevelGrid? grid = null)
    {
        (_start, _grid) = (start, grid);
        _codes = Unpack(start);
        _alpha = [.. start.Alpha];
        _beta = start.Biases();
    }

    /// <summary>N.</summary>
    public int Bases => _start.Count;

    public int Groups => _start.Groups;

    public bool HasBias => _beta != null;

    /// <summary>Numbers of one group that decide its levels.</summary>
    public int Unknowns => _grid?.Unknowns ?? Bases + (HasBias ? 1 : 0);

    /// <summary>Room for some rows.</summary>
    public RowBlock NewBlock(int capacity) => new(capacity, _start.InFeatures, _start.GroupSize, Bases, HasBias, _grid);

    /// <summary>Loads rows.</summary>
    public void Read(int first, int count, RowBlock block)
    {
        block.Rows = count;
        _codes.AsSpan(first * block.Features, count * block.Features).CopyTo(block.Codes);
        for (var row = 0; row < count; row++)
        {
            for (var group = 0; group < Groups; group++)
            {
                var alpha = block.AlphaOf(row, group);
                for (var basis = 0; basis < Bases; basis++)
                    alpha[basis] = (double)_alpha[PlaceOf(basis, first + row, group)];
                block.Beta[row * Groups + group] = _beta == null ? 0 : _beta[(first + row) * Groups + group];
            }
        }
    }

    /// <summary>Stores rows. Several threads may store different ones.</summary>
    public void Write(int first, RowBlock block)
    {
        block.Codes.AsSpan(0, block.Rows * block.Features).CopyTo(_codes.AsSpan(first * block.Features));
        for (var row = 0; row < block.Rows; row++)
        {
            for (var group = 0; group < Groups; group++)
            {
                var alpha = block.AlphaOf(row, group);
                for (var basis = 0; basis < Bases; basis++)
                    _alpha[PlaceOf(basis, first + row, group)] = (Half)alpha[basis];
                if (_beta != null)
                    _beta[(first + row) * Groups + group] = (float)block.Beta[row * Groups + group];
            }
        }
    }

    /// <summary>The layer as bases.</summary>
    public BinaryBases ToBases()
    {
        var planes = new uint[_start.Planes.Length];
        for (var basis = 0; basis < Bases; basis++)
        {
            for (var row = 0; row < _start.OutFeatures; row++)
            {
                var words = planes.AsSpan((basis * _start.OutFeatures + row) * _start.WordsPerRow, _start.WordsPerRow);
                SignPacking.PackBit(_codes.AsSpan(row * _start.InFeatures, _start.InFeatures), basis, words);
            }
        }
        return _grid is null
            ? new BinaryBases(Bases, _start.OutFeatures, _start.InFeatures, _start.GroupSize, planes, _alpha, _beta is null ? null : Array.ConvertAll(_beta, value => (Half)value))
            : _grid.ToBases(_start.OutFeatures, _start.InFeatures, _start.GroupSize, planes, _alpha, _beta!);
    }

    /// <summary>‖W − Ŵ‖² with the first 1..N bases and the bias, [N].</summary>
    public double[] SquaredErrors(LayerWeights weights)
    {
        var sums = new double[Bases];
        Span<double> alpha = stackalloc double[Bases];
        Span<double> squares = stackalloc double[Bases];
        var levels = new double[1 << Bases];
        for (var row = 0; row < _start.OutFeatures; row++)
        {
            for (var group = 0; group < Groups; group++)
            {
                for (var basis = 0; basis < Bases; basis++)
                    alpha[basis] = (double)_alpha[PlaceOf(basis, row, group)];
                var first = group * _start.GroupSize;
                var length = Math.Min(_start.GroupSize, _start.InFeatures - first);
                GroupFit.SquaredErrors(
                    weights.Row(row).Slice(first, length), _codes.AsSpan(row * _start.InFeatures + first, length), alpha,
                    _beta == null ? 0 : _beta[row * Groups + group], levels, squares);
                for (var basis = 0; basis < Bases; basis++)
                    sums[basis] += squares[basis];
            }
        }
        return sums;
    }

    /// <summary>Share of each basis's signs that are not as they were, [N].</summary>
    public double[] FlippedSigns(BinaryBases before)
    {
        var earlier = Unpack(before);
        var flips = new long[Bases];
        for (var k = 0; k < earlier.Length; k++)
        {
            for (var basis = 0; basis < flips.Length; basis++)
                flips[basis] += (earlier[k] ^ _codes[k]) >> basis & 1;
        }
        return Array.ConvertAll(flips, count => count / (double)earlier.Length);
    }

    /// <summary>Scales and biases below 6.1e-5, where fp16 has fewer digits.</summary>
    public long SubnormalScales() =>
        _alpha.Select(value => (float)value).Concat(_beta ?? []).LongCount(value => value != 0 && Math.Abs(value) < HalfScales.SmallestNormal);

    private static byte[] Unpack(BinaryBases bases)
    {
        var codes = new byte[(long)bases.OutFeatures * bases.InFeatures];
        for (var row = 0; row < bases.OutFeatures; row++)
        {
            for (var basis = 0; basis < bases.Count; basis++)
                SignPacking.UnpackBit(bases.Row(basis, row), basis, codes.AsSpan(row * bases.InFeatures, bases.InFeatures));
        }
        return codes;
    }

    private int PlaceOf(int basis, int row, int group) => (basis * _start.OutFeatures + row) * Groups + group;
}
