using Qbb.Models;
using Qbb.Models.Generation;
using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.Alternating;

/// <summary>Decomposes the rows of one layer, group by group; one per thread.</summary>
internal sealed class RowWorker
{
    private readonly Recipe _recipe;
    private readonly LayerWeights _layer;
    private readonly int _groupSize;
    private readonly double[]? _importance;
    private readonly GroupFit _fit;
    private readonly NormalEquations _equations;
    private readonly AlternatingRefiner? _alternating;
    private readonly GradientRefiner? _gradient;
    private readonly double[] _residual;
    private readonly double[] _levels;
    private readonly double[] _squares;
    private readonly byte[] _codes;
    private readonly byte[] _initCodes;

    /// <param name="recipe">Resolved.</param>
    /// <param name="layer">The layer whose rows are requested.</param>
    /// <param name="groupSize">At most the layer's in-features.</param>
    /// <param name="importance">What an error counts in alternating refinement [in], positive; null for 1 each.</param>
    public RowWorker(Recipe recipe, LayerWeights layer, int groupSize, double[]? importance)
    {
        (_recipe, _layer, _groupSize, _importance) = (recipe, layer, groupSize, importance);
        _fit = new GroupFit(recipe.Bases, groupSize);
        _equations = new NormalEquations(recipe.Bases, recipe.Bias);
        _alternating = recipe.Refinement == Refinement.Alternating
            ? new AlternatingRefiner(recipe.Bases, recipe.Bias, recipe.Rounds!.Value, recipe.Starts!.Value, groupSize)
            : null;
        _gradient = recipe.Refinement is Refinement.Gradient or Refinement.Simultaneous
            ? new GradientRefiner(
                recipe.Bases, recipe.Bias, recipe.Rounds!.Value, recipe.Steps!.Value, recipe.LearningRate!.Value,
                recipe.Refinement == Refinement.Simultaneous, groupSize)
            : null;
        _residual = new double[groupSize];
        _levels = new double[1 << recipe.Bases];
        _squares = new double[recipe.Bases];
        _codes = new byte[layer.InFeatures];
        _initCodes = new byte[layer.InFeatures];
    }

    /// <summary>Decomposes one row into <paramref name="bases"/> and counts its errors into <paramref name="tally"/>.</summary>
    public void Run(int row, Bases.BinaryBases bases, RowTally tally)
    {
        var line = _layer.Row(row);
        for (var group = 0; group < bases.Groups; group++)
        {
            var first = group * _groupSize;
            var w = line[first..(int)Math.Min((long)first + _groupSize, line.Length)];
            Start(w, row, group, tally);
            _fit.Codes.CopyTo(_initCodes.AsSpan(first));
            if (_alternating != null)
                _alternating.Refine(w, _fit, _importance.AsSpan(_importance == null ? 0 : first, _importance == null ? 0 : w.Length));
            else
                _gradient?.Refine(w, _fit);
            Round(row, group, bases, tally);
            // The rounded levels have moved a little: the nearest of them can only be better. Signs that the recipe wants kept are kept.
            if (_alternating != null && _recipe.Rounds > 0)
                _alternating.Reassign(_fit);
            Measure(w, tally);
            _fit.Codes.CopyTo(_codes.AsSpan(first));
        }
        for (var basis = 0; basis < _recipe.Bases; basis++)
        {
            var words = bases.Planes.AsSpan((basis * bases.OutFeatures + row) * bases.WordsPerRow, bases.WordsPerRow);
            Qbb.Bases.SignPacking.PackBit(_codes, basis, words);
            for (var j = 0; j < _codes.Length; j++)
                tally.Flips[basis] += (_codes[j] ^ _initCodes[j]) >> basis & 1;
        }
    }

    private void Start(ReadOnlySpan<float> w, int row, int group, RowTally tally)
    {
        if (_recipe.Init == Init.Cascaded)
        {
            InitialSigns.Cascaded(w, _fit, _residual, _squares);
        }
        else
        {
            InitialSigns.Drawn(_recipe.Init, w, _fit, SplitMix64.For(_recipe.Seed, row, group));
            _equations.Count(w, _fit.Codes);
            _equations.Prepare();
            var beta = 0.0;
            _equations.Solve(_fit.Alpha, ref beta);
            _fit.Beta = beta;
            _fit.Normalize();
            ErrorsPerBase(w, _squares);
        }
        for (var basis = 0; basis < _squares.Length; basis++)
            tally.InitErrors[basis] += _squares[basis];
    }

    /// <summary>Rounds scales and bias to fp16, in the fit and in the result.</summary>
    private void Round(int row, int group, Bases.BinaryBases bases, RowTally tally)
    {
        for (var basis = 0; basis < _recipe.Bases; basis++)
        {
            var rounded = Rounded(_fit.Alpha[basis], tally);
            bases.Alpha[(basis * bases.OutFeatures + row) * bases.Groups + group] = rounded;
            _fit.Alpha[basis] = (double)rounded;
        }
        if (bases.Beta == null)
            return;
        var beta = Rounded(_fit.Beta, tally);
        bases.Beta[row * bases.Groups + group] = beta;
        _fit.Beta = (double)beta;
    }

    private Half Rounded(double value, RowTally tally)
    {
        var rounded = (Half)value;
        if (!Half.IsFinite(rounded))
        {
            throw HalfScales.TooLarge(_layer.Name);
        }
        if (value != 0 && Math.Abs(value) < HalfScales.SmallestNormal)
            tally.Subnormal++;
        return rounded;
    }

    private void Measure(ReadOnlySpan<float> w, RowTally tally)
    {
        ErrorsPerBase(w, _squares);
        for (var basis = 0; basis < _squares.Length; basis++)
            tally.Errors[basis] += _squares[basis];
        foreach (var value in w)
            tally.Norm += (double)value * value;
    }

    /// <summary>Σ(w − ŵ)² with the first 1..N bases of the fit and its bias.</summary>
    private void ErrorsPerBase(ReadOnlySpan<float> w, Span<double> squares) =>
        GroupFit.SquaredErrors(w, _fit.Codes, _fit.Alpha, _fit.Beta, _levels, squares);
}
