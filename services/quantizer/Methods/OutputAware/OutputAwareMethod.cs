using System.Diagnostics;
using Qbb.Bases;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Quantizer.Methods.Grids;
using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.OutputAware;

/// <summary>
/// Decomposes layers so that their outputs change least: min tr((W − Ŵ) H (W − Ŵ)ᵀ) with H = E[xxᵀ] of calibration, damped. (1) Alternating
/// refinement of every group, an error in column j counting 1/[H⁻¹]_jj; (2) column feedback; (3) joint scales of each row; (4) coordinate
/// descent over the signs; 3 and 4 once more, and 3 at the end. Under a target's grid the unknowns of 3 are steps and minima. Every state is one that can be stored, scales in fp16, and a row
/// takes a step's result only where it is better. Rows are independent and run in parallel.
/// </summary>
public sealed class OutputAwareMethod : ILayerMethod
{
    /// <summary>How often the joint scales are solved; coordinate descent runs in between.</summary>
    public const int Rounds = 3;

    private readonly Recipe _recipe;
    private readonly Func<LayerWeights, double[]?, CancellationToken, LayerResult> _start;
    private readonly bool _keepsSigns;
    private readonly int _threads;

    /// <param name="recipe">The choices, importance being full; resolved here.</param>
    /// <param name="threads">Threads of one layer; 0 for one per processor. The result does not depend on it.</param>
    /// <param name="start">What gives the bases in place of steps 1 and 2; null for these.</param>
    public OutputAwareMethod(Recipe recipe, int threads = 0, ILayerMethod? start = null)
    {
        _recipe = recipe.Resolve();
        _start = start is not null ? (weights, _, cancellation) => LargestFirst(weights, start.Quantize(weights, cancellation))
            : recipe.IsOnGrid ? new GridMethod(recipe, threads).Quantize : new BasesMethod(recipe, threads).Quantize;
        _keepsSigns = start is not null;
        _threads = threads == 0 ? Environment.ProcessorCount : threads;
    }

    /// <inheritdoc/>
    public string Name => "qbb output-aware";

    /// <inheritdoc/>
    public LayerResult Quantize(LayerWeights weights, CancellationToken cancellation = default)
    {
        var clock = Stopwatch.StartNew();
        var inputs = weights.RequireInputs();
        if (inputs.Features != weights.InFeatures)
            throw new ArgumentException($"{weights.Name} has {weights.InFeatures} inputs, the statistics {inputs.Features}");
        JointScales.CheckSize(_recipe, weights);
        var curvature = Curvature.Of(inputs, weights.Name);
        var importance = Array.ConvertAll(curvature.InverseDiagonal, value => 1 / value);
        var start = _start(weights, importance, cancellation);
        var layer = new LayerState((BinaryBases)start.Weight, LevelGrid.Of(_recipe));
        var objectives = Improve(weights, curvature, layer, cancellation);
        var bases = layer.ToBases();
        var errors = layer.SquaredErrors(weights);
        var output = new OutputError(curvature.SquaredNorm(weights, _threads), objectives, curvature.Damping, inputs.Count);
        return new LayerResult(bases, start.Report with
        {
            SquaredError = errors[^1],
            ErrorPerBase = [.. errors.Select(error => LayerReport.Relative(error, start.Report.SquaredNorm))],
            FlippedSigns = layer.FlippedSigns((BinaryBases)start.Weight),
            SubnormalScales = layer.SubnormalScales(),
            Seconds = clock.Elapsed.TotalSeconds,
            Output = output,
        });
    }

    /// <summary>A result whose scales rise, with its planes in the order that refinement keeps them in, and its errors.</summary>
    private static LayerResult LargestFirst(LayerWeights weights, LayerResult result)
    {
        var bases = (BinaryBases)result.Weight;
        var turned = new BinaryBases(bases.Count, bases.OutFeatures, bases.InFeatures, bases.GroupSize, Turned(bases.Planes, bases.Count), Turned(bases.Alpha, bases.Count), bases.Beta?.ToArray());
        var errors = new LayerState(turned).SquaredErrors(weights);
        return new(turned, result.Report with { InitErrorPerBase = [.. errors.Select(error => LayerReport.Relative(error, result.Report.SquaredNorm))] });
    }

    private static T[] Turned<T>(IReadOnlyCollection<T> values, int count) => [.. values.Chunk(values.Count / count).Reverse().SelectMany(plane => plane)];

    /// <summary>Steps 2 to 5 on all rows; returns the objective after each step, the start being the first.</summary>
    private double[] Improve(LayerWeights weights, Curvature curvature, LayerState layer, CancellationToken cancellation)
    {
        var rows = JointScales.RowsAtOnce(layer.Groups, layer.Unknowns);
        var blocks = (weights.OutFeatures + rows - 1) / rows;
        var objectives = new double[weights.OutFeatures][];
        Parallel.For(
            0,
            blocks,
            new ParallelOptions { MaxDegreeOfParallelism = _threads, CancellationToken = cancellation },
            () => new BlockWorker(weights, curvature, layer, rows, withFeedback: !_keepsSigns),
            (block, _, worker) =>
            {
                worker.Run(block * rows, Math.Min(rows, weights.OutFeatures - block * rows), objectives);
                return worker;
            },
            _ => { });
        return [.. Enumerable.Range(0, 1 + 2 * Rounds).Select(step => objectives.Sum(row => row[step]))];
    }
}
