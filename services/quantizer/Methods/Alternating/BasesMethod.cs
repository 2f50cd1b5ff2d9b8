using System.Diagnostics;
using Qbb.Bases;
using Qbb.Models;
using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.Alternating;

/// <summary>Decomposes layers into binary bases on the CPU as a recipe says. Rows are independent and run in parallel.</summary>
public sealed class BasesMethod : ILayerMethod
{
    private readonly int _threads;

    /// <param name="recipe">The choices; resolved here.</param>
    /// <param name="threads">Threads of one layer; 0 for one per processor.</param>
    public BasesMethod(Recipe recipe, int threads = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        Recipe = recipe.Resolve();
        _threads = threads == 0 ? Environment.ProcessorCount : threads;
    }

    /// <summary>The resolved recipe.</summary>
    public Recipe Recipe { get; }

    /// <inheritdoc/>
    public string Name => $"qbb {Recipe.Refinement.ToString().ToLowerInvariant()}";

    /// <inheritdoc/>
    public LayerResult Quantize(LayerWeights weights, CancellationToken cancellation = default) =>
        Quantize(weights, Recipe.Importance == Importance.None ? null : weights.RequireInputs().Importance(), cancellation);

    /// <param name="weights">The layer.</param>
    /// <param name="importance">What an error in each column counts in alternating refinement [in], positive; null for 1 each.</param>
    /// <param name="cancellation">Stops between rows.</param>
    internal LayerResult Quantize(LayerWeights weights, double[]? importance, CancellationToken cancellation)
    {
        var clock = Stopwatch.StartNew();
        var bases = Allocate(weights);
        var tallies = new RowTally[weights.OutFeatures];
        try
        {
            Parallel.For(
                0,
                weights.OutFeatures,
                new ParallelOptions { MaxDegreeOfParallelism = _threads, CancellationToken = cancellation },
                () => new RowWorker(Recipe, weights, bases.GroupSize, importance),
                (row, _, worker) =>
                {
                    tallies[row] = new RowTally(Recipe.Bases);
                    worker.Run(row, bases, tallies[row]);
                    return worker;
                },
                _ => { });
        }
        catch (AggregateException error) when (error.InnerExceptions.OfType<InvalidInputException>().FirstOrDefault() is { } input)
        {
            throw new InvalidInputException(input.Message, error);
        }
        return new LayerResult(
            bases, RowTally.Report(weights, bases.EffectiveBitsPerWeight, Recipe.Bases, tallies, clock.Elapsed.TotalSeconds));
    }

    private BinaryBases Allocate(LayerWeights weights)
    {
        var group = Math.Min(Recipe.Group ?? weights.InFeatures, weights.InFeatures);
        var groups = (weights.InFeatures - 1L) / group + 1;
        var signs = (long)Recipe.Bases * weights.OutFeatures * SignPacking.WordsPerRow(weights.InFeatures);
        var scales = Recipe.Bases * weights.OutFeatures * groups;
        var shape = $"{weights.OutFeatures} × {weights.InFeatures}";
        if (signs > Array.MaxLength || scales > Array.MaxLength)
            throw new InvalidInputException(
                $"{weights.Name}: {Recipe.Bases} bases of {shape} in groups of {group} are too large for one tensor");
        return new BinaryBases(
            Recipe.Bases, weights.OutFeatures, weights.InFeatures, group, new uint[signs], new Half[scales],
            Recipe.Bias ? new Half[weights.OutFeatures * groups] : null);
    }
}
