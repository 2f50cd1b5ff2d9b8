using System.Diagnostics;
using Qbb.Bases;
using Qbb.Models;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.Nested;

/// <summary>
/// Decomposes layers into planes of which the first n are a model for every n up to N. First every n gets a decomposition of its own: what
/// the nested ones are measured against, and where they start from. Then <see cref="NestedRefiner"/> goes over the groups.
/// </summary>
public sealed class NestedMethod : ILayerMethod
{
    private readonly Recipe _recipe;
    private readonly int _threads;

    /// <param name="recipe">The choices, nested; resolved here.</param>
    /// <param name="threads">Threads of one layer; 0 for one per processor. The result does not depend on it.</param>
    public NestedMethod(Recipe recipe, int threads = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        _recipe = recipe.Resolve();
        _threads = threads == 0 ? Environment.ProcessorCount : threads;
    }

    /// <inheritdoc/>
    public string Name => "qbb nested";

    /// <inheritdoc/>
    public LayerResult Quantize(LayerWeights weights, CancellationToken cancellation = default) =>
        Quantize(weights, _recipe.Importance == Importance.None ? null : weights.RequireInputs().Importance(), cancellation);

    /// <param name="weights">The layer.</param>
    /// <param name="importance">What an error in each column counts [in], positive; null for 1 each.</param>
    /// <param name="cancellation">Stops between rows.</param>
    internal LayerResult Quantize(LayerWeights weights, double[]? importance, CancellationToken cancellation)
    {
        var clock = Stopwatch.StartNew();
        var own = Enumerable.Range(1, _recipe.Bases)
            .Select(count => new BasesMethod(_recipe with { Nested = false, Bases = count }, _threads))
            .Select(method => method.Quantize(weights, importance, cancellation))
            .ToList();
        var planes = own.ConvertAll(result => (BinaryBases)result.Weight);
        var arrays = new NestedArrays(_recipe.Bases, weights.OutFeatures, weights.InFeatures, planes[^1].GroupSize, _recipe.Bias);
        var tallies = new RowTally[weights.OutFeatures];
        try
        {
            Parallel.For(
                0,
                weights.OutFeatures,
                new ParallelOptions { MaxDegreeOfParallelism = _threads, CancellationToken = cancellation },
                () => new NestedRowWorker(_recipe, weights, planes, importance),
                (row, _, worker) =>
                {
                    tallies[row] = new RowTally(_recipe.Bases);
                    worker.Run(row, arrays, tallies[row]);
                    return worker;
                },
                _ => { });
        }
        catch (AggregateException error) when (error.InnerExceptions.OfType<InvalidInputException>().FirstOrDefault() is { } input)
        {
            throw new InvalidInputException(input.Message, error);
        }
        var bases = arrays.ToBases();
        var report = RowTally.Report(weights, bases.EffectiveBitsPerWeight, _recipe.Bases, tallies, clock.Elapsed.TotalSeconds);
        return new LayerResult(bases, report with { OwnErrorPerBase = [.. own.Select(result => result.Report.RelativeError)] });
    }
}
