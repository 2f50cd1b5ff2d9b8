using System.Diagnostics;
using Qbb.Bases;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.Grids;

/// <summary>Decomposes layers into binary bases whose levels are those of a target's grid, on the CPU. Rows are independent and run in parallel.</summary>
public sealed class GridMethod : ILayerMethod
{
    private readonly Recipe _recipe;
    private readonly LevelGrid _grid;
    private readonly int _threads;

    /// <param name="recipe">The choices, with a target that has a grid; resolved here.</param>
    /// <param name="threads">Threads of one layer; 0 for one per processor. The result does not depend on it.</param>
    public GridMethod(Recipe recipe, int threads = 0)
    {
        _recipe = recipe.Resolve();
        _grid = LevelGrid.Of(_recipe) ?? throw new ArgumentException("the recipe has no grid");
        _threads = threads == 0 ? Environment.ProcessorCount : threads;
    }

    /// <inheritdoc/>
    public string Name => "qbb grid";

    /// <inheritdoc/>
    public LayerResult Quantize(LayerWeights weights, CancellationToken cancellation = default) =>
        Quantize(weights, _recipe.Importance == Importance.None ? null : weights.RequireInputs().Importance(), cancellation);

    /// <param name="weights">The layer, whose rows are whole groups.</param>
    /// <param name="importance">What an error in each column counts [in], positive; null for 1 each.</param>
    /// <param name="cancellation">Stops between rows.</param>
    internal LayerResult Quantize(LayerWeights weights, double[]? importance, CancellationToken cancellation)
    {
        var clock = Stopwatch.StartNew();
        _recipe.Target!.At(_recipe).CheckRows(weights.Name, weights.InFeatures);
        var (n, rows, group) = (_recipe.Bases, weights.OutFeatures, Math.Min(_recipe.Group ?? weights.InFeatures, weights.InFeatures));
        var (words, groups) = (SignPacking.WordsPerRow(weights.InFeatures), weights.InFeatures / group);
        if ((long)n * rows * words > Array.MaxLength || (long)n * rows * groups > Array.MaxLength)
            throw new Contracts.InvalidInputException($"{weights.Name}: {n} bases of {rows} × {weights.InFeatures} are too large for one tensor");
        var planes = new uint[n * rows * words];
        var (alpha, beta) = (new Half[n * rows * groups], new float[rows * groups]);
        var tallies = new RowTally[rows];
        Parallel.For(
            0, rows, new ParallelOptions { MaxDegreeOfParallelism = _threads, CancellationToken = cancellation },
            () => new Worker(_grid, _recipe, weights, importance),
            (row, _, worker) =>
            {
                tallies[row] = new RowTally(n);
                worker.Run(row, planes, alpha, beta, tallies[row]);
                return worker;
            },
            _ => { });
        if (alpha.Any(scale => !Half.IsFinite(scale)) || beta.Any(bias => !float.IsFinite(bias)))
            throw HalfScales.TooLarge(weights.Name);
        var bases = _grid.ToBases(rows, weights.InFeatures, group, planes, alpha, beta);
        return new(bases, RowTally.Report(weights, bases.EffectiveBitsPerWeight, n, tallies, clock.Elapsed.TotalSeconds));
    }

    /// <summary>Fits rows; one per thread.</summary>
    private sealed class Worker(LevelGrid grid, Recipe recipe, LayerWeights weights, double[]? importance)
    {
        private readonly int _group = Math.Min(recipe.Group ?? weights.InFeatures, weights.InFeatures);
        private readonly GridFit _fit = new(grid, recipe.Rounds!.Value, Math.Min(recipe.Group ?? weights.InFeatures, weights.InFeatures));
        private readonly byte[] _codes = new byte[weights.InFeatures];
        private readonly byte[] _startCodes = new byte[weights.InFeatures];
        private readonly double[] _alpha = new double[recipe.Bases];
        private readonly double[] _squares = new double[recipe.Bases];
        private readonly double[] _levels = new double[1 << recipe.Bases];

        public void Run(int row, uint[] planes, Half[] alpha, float[] beta, RowTally tally)
        {
            var line = weights.Row(row);
            var (groups, n) = (weights.InFeatures / _group, recipe.Bases);
            for (var group = 0; group < groups; group++)
            {
                var first = group * _group;
                var w = line.Slice(first, _group);
                var scales = _fit.Fit(w, importance.AsSpan(importance is null ? 0 : first, importance is null ? 0 : _group));
                for (var j = 0; j < w.Length; j++)
                {
                    _codes[first + j] = grid.CodeOf(_fit.Levels[j]);
                    _startCodes[first + j] = grid.CodeOf(grid.Nearest(_fit.Start, w[j]));
                    tally.Norm += (double)w[j] * w[j];
                }
                Count(w, _startCodes.AsSpan(first, w.Length), _fit.Start, tally.InitErrors);
                var bias = Count(w, _codes.AsSpan(first, w.Length), scales, tally.Errors);
                var place = row * groups + group;
                beta[place] = (float)bias;
                for (var basis = 0; basis < n; basis++)
                    alpha[basis * beta.Length + place] = (Half)_alpha[basis];
                if (scales.Step != 0 && Math.Abs(scales.Step) < HalfScales.SmallestNormal)
                    tally.Subnormal++;
            }
            var words = SignPacking.WordsPerRow(line.Length);
            for (var basis = 0; basis < n; basis++)
            {
                SignPacking.PackBit(_codes, basis, planes.AsSpan((basis * weights.OutFeatures + row) * words, words));
                for (var j = 0; j < _codes.Length; j++)
                    tally.Flips[basis] += (_codes[j] ^ _startCodes[j]) >> basis & 1;
            }
        }

        /// <summary>Adds the errors with the first 1..N bases; leaves the scales and gives the bias.</summary>
        private double Count(ReadOnlySpan<float> w, ReadOnlySpan<byte> codes, GridScales scales, double[] errors)
        {
            grid.Write(scales, _alpha, out var bias);
            GroupFit.SquaredErrors(w, codes, _alpha, bias, _levels, _squares);
            for (var basis = 0; basis < _squares.Length; basis++)
                errors[basis] += _squares[basis];
            return bias;
        }
    }
}
