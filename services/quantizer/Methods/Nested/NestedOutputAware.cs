using System.Diagnostics;
using Qbb.Bases;
using Qbb.Quantizer.Methods.OutputAware;
using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.Nested;

/// <summary>
/// Nested planes whose outputs err least, J = Σ_n λ_n tr((W − Ŵ_n) H (W − Ŵ_n)ᵀ): the five steps of <see cref="OutputAwareMethod"/> with signs that
/// all n share. The nested decomposition, an error in column j counting 1/[H⁻¹]_jj; then, row by row, column feedback, for every n all its
/// scales at once, and coordinate descent; the last two once more, and the scales at the end. A row takes a step's result only where J fell.
/// </summary>
public sealed class NestedOutputAware : ILayerMethod
{
    private readonly Recipe _recipe;
    private readonly NestedMethod _start;
    private readonly int _threads;

    /// <param name="recipe">The choices, nested with importance full; resolved here.</param>
    /// <param name="threads">Threads of one layer; 0 for one per processor. The result does not depend on it.</param>
    public NestedOutputAware(Recipe recipe, int threads = 0)
    {
        _recipe = recipe.Resolve();
        _start = new NestedMethod(recipe, threads);
        _threads = threads == 0 ? Environment.ProcessorCount : threads;
    }

    /// <inheritdoc/>
    public string Name => "qbb nested output-aware";

    /// <summary>Lets a test follow J of every row.</summary>
    internal Action<int, double>? Trace { get; set; }

    /// <inheritdoc/>
    public LayerResult Quantize(LayerWeights weights, CancellationToken cancellation = default)
    {
        var clock = Stopwatch.StartNew();
        var inputs = weights.RequireInputs();
        JointScales.CheckSize(_recipe, weights);
        var curvature = Curvature.Of(inputs, weights.Name);
        var start = _start.Quantize(weights, Array.ConvertAll(curvature.InverseDiagonal, value => 1 / value), cancellation);
        var before = (NestedBases)start.Weight;
        var layers = Enumerable.Range(1, _recipe.Bases).Select(count => new LayerState(before.At(count))).ToArray();
        var objectives = Improve(weights, curvature, layers, cancellation);
        var bases = Array.ConvertAll(layers, layer => layer.ToBases());
        var result = new NestedBases(bases[^1], [.. bases[..^1].Select(one => new NestedScales(one.Alpha, one.Beta))]);
        var errors = Array.ConvertAll(layers, layer => layer.SquaredErrors(weights)[^1]);
        var norm = curvature.SquaredNorm(weights, _threads);
        return new LayerResult(result, start.Report with
        {
            SquaredError = errors[^1],
            ErrorPerBase = [.. errors.Select(error => LayerReport.Relative(error, start.Report.SquaredNorm))],
            // Without regard to the outputs the own decompositions err less in the weights: no comparison.
            OwnErrorPerBase = null,
            FlippedSigns = layers[^1].FlippedSigns(before.Whole),
            SubnormalScales = layers.Sum(layer => layer.SubnormalScales()),
            Seconds = clock.Elapsed.TotalSeconds,
            Output = new OutputError(norm, [objectives[^1]], curvature.Damping, inputs.Count),
            OutputErrorPerBase = [.. objectives.Select(objective => LayerReport.Relative(objective, norm))],
        });
    }

    /// <summary>All rows; returns the objective of every n, [N].</summary>
    private double[] Improve(LayerWeights weights, Curvature curvature, LayerState[] layers, CancellationToken cancellation)
    {
        var rows = JointScales.RowsAtOnce(layers[^1].Groups, layers[^1].Bases + (layers[^1].HasBias ? 1 : 0));
        var objectives = new double[weights.OutFeatures][];
        Parallel.For(
            0,
            (weights.OutFeatures + rows - 1) / rows,
            new ParallelOptions { MaxDegreeOfParallelism = _threads, CancellationToken = cancellation },
            () => new NestedBlockWorker(weights, curvature, layers, rows),
            (block, _, worker) =>
            {
                worker.Run(block * rows, Math.Min(rows, weights.OutFeatures - block * rows), objectives, Trace);
                return worker;
            },
            _ => { });
        return [.. Enumerable.Range(0, layers.Length).Select(place => objectives.Sum(row => row[place]))];
    }
}
