using Qbb.Bases;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.Nested;

/// <summary>Fits the rows of one layer, group by group; one per thread.</summary>
internal sealed class NestedRowWorker
{
    /// <summary>Least share of a group's Σ h·w² that counts as the error of an own decomposition, which may be 0.</summary>
    private const double SmallestError = 1e-6;

    private readonly LayerWeights _layer;
    private readonly double[]? _importance;
    private readonly IReadOnlyList<BinaryBases> _own;
    private readonly NestedRefiner _refiner;
    private readonly NestedFit _fit;
    private readonly byte[][] _ownCodes;
    private readonly byte[] _initCodes;
    private readonly byte[] _codes;
    private readonly double[] _levels;
    private readonly double[] _squares;
    private readonly double[] _weights;
    private readonly double[] _residual;
    private readonly GroupFit _init;

    /// <param name="recipe">Resolved.</param>
    /// <param name="layer">The layer.</param>
    /// <param name="own">The best decomposition of every n = 1 … N for itself, at place n − 1.</param>
    /// <param name="importance">What an error in each column counts [in]; null for 1 each.</param>
    public NestedRowWorker(Recipe recipe, LayerWeights layer, IReadOnlyList<BinaryBases> own, double[]? importance)
    {
        (_layer, _own, _importance) = (layer, own, importance);
        var group = own[^1].GroupSize;
        _refiner = new NestedRefiner(recipe.Bases, recipe.Bias, recipe.Rounds!.Value, recipe.Starts!.Value, group);
        _fit = new NestedFit(recipe.Bases, group);
        _init = new GroupFit(recipe.Bases, group);
        _ownCodes = [.. own.Select(_ => new byte[layer.InFeatures])];
        _initCodes = new byte[layer.InFeatures];
        _codes = new byte[layer.InFeatures];
        _levels = new double[1 << recipe.Bases];
        _squares = new double[recipe.Bases];
        _weights = new double[recipe.Bases];
        _residual = new double[group];
    }

    /// <summary>Fits one row into <paramref name="result"/> and counts its errors into <paramref name="tally"/>.</summary>
    public void Run(int row, NestedArrays result, RowTally tally)
    {
        var line = _layer.Row(row);
        var bases = _own.Count;
        for (var count = 1; count <= bases; count++)
        {
            for (var basis = 0; basis < count; basis++)
                SignPacking.UnpackBit(_own[count - 1].Row(basis, row), basis, _ownCodes[count - 1]);
        }
        for (var group = 0; group < _own[^1].Groups; group++)
        {
            var first = group * _own[^1].GroupSize;
            var w = line[first..(int)Math.Min((long)first + _own[^1].GroupSize, line.Length)];
            ReadOnlySpan<double> importance = _importance is null ? [] : _importance.AsSpan(first, w.Length);
            InitialSigns.Cascaded(w, _init, _residual, _squares);
            _init.Codes.CopyTo(_initCodes.AsSpan(first));
            for (var basis = 0; basis < bases; basis++)
                tally.InitErrors[basis] += _squares[basis];
            Weigh(w, importance, row, group, first);
            _refiner.Refine(
                w, importance, _weights, _ownCodes[0].AsSpan(first, w.Length), _ownCodes[^1].AsSpan(first, w.Length), _fit);
            tally.Subnormal += result.Round(_layer.Name, row, group, _fit);
            _refiner.Assign(_weights, _fit);
            _fit.Codes.CopyTo(_codes.AsSpan(first));
            _fit.SquaredErrors(w, _levels, _squares);
            for (var basis = 0; basis < bases; basis++)
                tally.Errors[basis] += _squares[basis];
            foreach (var value in w)
                tally.Norm += (double)value * value;
        }
        for (var basis = 0; basis < bases; basis++)
        {
            SignPacking.PackBit(_codes, basis, result.Row(basis, row));
            for (var j = 0; j < _codes.Length; j++)
                tally.Flips[basis] += (_codes[j] ^ _initCodes[j]) >> basis & 1;
        }
    }

    /// <summary>λ_n = 1/(the error of an own decomposition of n bases): J then adds up how many times as large the errors are.</summary>
    private void Weigh(ReadOnlySpan<float> w, ReadOnlySpan<double> importance, int row, int group, int first)
    {
        Span<double> alpha = stackalloc double[BinaryBases.MostBases];
        var norm = 0.0;
        for (var j = 0; j < w.Length; j++)
            norm += (importance.IsEmpty ? 1 : importance[j]) * w[j] * w[j];
        for (var count = 1; count <= _own.Count; count++)
        {
            var own = _own[count - 1];
            for (var basis = 0; basis < count; basis++)
                alpha[basis] = (double)own.Scale(basis, row, group);
            GroupFit.Levels(alpha[..count], (double)own.Bias(row, group), _levels);
            var sum = 0.0;
            for (var j = 0; j < w.Length; j++)
            {
                var error = w[j] - _levels[_ownCodes[count - 1][first + j]];
                sum += (importance.IsEmpty ? 1 : importance[j]) * error * error;
            }
            _weights[count - 1] = norm > 0 ? 1 / Math.Max(sum, SmallestError * norm) : 1;
        }
    }
}
