using System.Diagnostics;
using Qbb.Bases;
using Qbb.Models;
using Qbb.Quantizer.Methods.OutputAware;
using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.Rounding;

/// <summary>
/// GPTQ (Frantar et al. 2023) with act-order and static groups, written as binary bases: every group has the grid of round to nearest,
/// and columns by falling H_jj take its nearest level, what that leaves being made up for by the columns to come
/// (<see cref="ColumnFeedback"/>). Scales and biases are fp16 numbers from the start. Rows are independent and run in parallel.
/// </summary>
/// <param name="recipe">Bits (its bases) and group.</param>
/// <param name="threads">Threads of one layer; 0 for one per processor. The result does not depend on it.</param>
public sealed class GptqMethod(Recipe recipe, int threads = 0) : ILayerMethod
{
    private const int RowsAtOnce = 16;
    private readonly int _threads = threads == 0 ? Environment.ProcessorCount : threads;
    private readonly RtnBasesMethod _grid = new(recipe with { Init = Init.Rtn }, threads);

    /// <inheritdoc/>
    public string Name => "gptq";

    /// <inheritdoc/>
    public LayerResult Quantize(LayerWeights weights, CancellationToken cancellation = default)
    {
        var clock = Stopwatch.StartNew();
        var inputs = weights.RequireInputs();
        var curvature = Curvature.Of(inputs, weights.Name);
        var start = _grid.Quantize(weights, cancellation);
        var layer = new LayerState((BinaryBases)start.Weight);
        double[] before = new double[weights.OutFeatures], after = new double[weights.OutFeatures];
        Parallel.For(
            0,
            (weights.OutFeatures + RowsAtOnce - 1) / RowsAtOnce,
            new ParallelOptions { MaxDegreeOfParallelism = _threads, CancellationToken = cancellation },
            () => (Feedback: new ColumnFeedback(curvature, RowsAtOnce), Rows: layer.NewBlock(RowsAtOnce)),
            (block, _, worker) =>
            {
                var first = block * RowsAtOnce;
                var count = Math.Min(RowsAtOnce, weights.OutFeatures - first);
                var w = BlockWorker.Widen(weights, first, count);
                layer.Read(first, count, worker.Rows);
                worker.Rows.Measure(w, curvature.Matrix);
                worker.Rows.Objective.AsSpan(0, count).CopyTo(before.AsSpan(first));
                worker.Feedback.Run(w, worker.Rows);
                worker.Rows.Measure(w, curvature.Matrix);
                worker.Rows.Objective.AsSpan(0, count).CopyTo(after.AsSpan(first));
                layer.Write(first, worker.Rows);
                return worker;
            },
            _ => { });
        return new LayerResult(layer.ToBases(), start.Report with
        {
            SquaredError = layer.SquaredErrors(weights)[^1],
            Seconds = clock.Elapsed.TotalSeconds,
            Output = new OutputError(curvature.SquaredNorm(weights, _threads), [before.Sum(), after.Sum()], curvature.Damping, inputs.Count),
        });
    }
}
