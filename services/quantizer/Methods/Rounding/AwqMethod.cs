using System.Diagnostics;
using Qbb.Bases;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.Rounding;

/// <summary>
/// AWQ (Lin et al. 2023), weights only, written as binary bases: the weights of each input are multiplied by s = E|x|^r, r of least output
/// error of round to nearest over a grid of 20, then the ranges of the groups shrink, in steps of a 20th to 0.55, to the least error of each
/// group's part of the outputs. Layers that read the same inputs share s, found on the sum of their errors (the authors' code takes
/// attention's outputs for queries, keys and values; the paper's objective is the layer's). Queries and keys keep their ranges.
/// Where the operation before cannot divide by s it is 1. <see cref="ReferenceAwq"/> is the plain form.
/// </summary>
/// <param name="recipe">Bits (its bases) and group.</param>
/// <param name="threads">Threads of one layer; 0 for one per processor. The result does not depend on it.</param>
public sealed class AwqMethod(Recipe recipe, int threads = 0) : ILayerMethod
{
    /// <summary>Powers r that are tried: k/20.</summary>
    internal const int Powers = 20;

    /// <summary>Ranges that are tried: 1 − k/20 of the largest magnitude.</summary>
    internal const int Clips = 10;

    private readonly ParallelOptions _parallel = new() { MaxDegreeOfParallelism = threads == 0 ? Environment.ProcessorCount : threads };

    /// <summary>s of the last inputs: layers that read the same ones follow one another.</summary>
    private (InputStatistics Inputs, long Count, float[] Scales)? _last;

    /// <inheritdoc/>
    public string Name => "awq";

    /// <inheritdoc/>
    public LayerResult Quantize(LayerWeights weights, CancellationToken cancellation = default)
    {
        var clock = Stopwatch.StartNew();
        var inputs = weights.RequireInputs();
        using var scope = torch.NewDisposeScope();
        var h = OutputObjective.Mean(inputs, weights.Name);
        var scales = weights.Place is { TakesInputScales: false } ? null : ScalesOf(inputs, weights, h, cancellation);
        var clips = weights.Place is { Role: LinearRole.Query or LinearRole.Key or LinearRole.QueryKeyValue } ? null : Clip(weights, scales, h, cancellation);
        var bases = RtnBasesMethod.Convert(Round(weights, scales, clips));
        if (!bases.Alpha.All(Half.IsFinite) || !bases.Beta!.All(Half.IsFinite))
            throw HalfScales.TooLarge(weights.Name);
        IQuantizedWeight result = scales is null ? bases : new ScaledBases(bases, scales);
        return Report(weights, result, h, inputs.Count, clock);
    }

    /// <summary>The layer rounded to nearest, and AWQ's, with their errors.</summary>
    private LayerResult Report(LayerWeights weights, IQuantizedWeight result, Tensor h, long inputs, Stopwatch clock)
    {
        var damped = OutputObjective.Damped(h);
        var (before, _) = OutputObjective.Error(weights, Round(weights, null, null), damped);
        var (after, squared) = OutputObjective.Error(weights, result, damped);
        var report = new LayerReport(
            weights.Name, weights.OutFeatures, weights.InFeatures, result.EffectiveBitsPerWeight, OutputObjective.SquaredNorm(weights), squared, [], [], [], 0, clock.Elapsed.TotalSeconds)
        {
            Output = new OutputError(OutputObjective.Norm(weights, damped), [before, after], InputStatistics.Damping, inputs),
        };
        return new(result, report);
    }

    private float[] ScalesOf(InputStatistics inputs, LayerWeights weights, Tensor h, CancellationToken cancellation)
    {
        if (_last is { } last && ReferenceEquals(last.Inputs, inputs) && last.Count == inputs.Count)
            return last.Scales;
        var readers = weights.Place?.Readers() ?? [weights];
        var sizes = Array.ConvertAll(inputs.MeanSizes(), size => (float)size);
        var (best, least) = (Candidate(sizes, 0), double.PositiveInfinity);
        for (var k = 0; k < Powers; k++)
        {
            cancellation.ThrowIfCancellationRequested();
            var scales = Candidate(sizes, k);
            var loss = readers.Sum(reader => Loss(reader, scales, h));
            if (loss < least)
                (best, least) = (scales, loss);
        }
        _last = (inputs, inputs.Count, best);
        return best;
    }

    /// <summary>E|x|^(k/20), over the geometric mean of the largest and the smallest.</summary>
    internal static float[] Candidate(float[] sizes, int k)
    {
        // An input that was never other than 0 asks for nothing; 1e-4 as in the authors' code.
        var scales = Array.ConvertAll(sizes, size => Math.Max(MathF.Pow(size, k / (float)Powers), 1e-4f));
        var middle = MathF.Sqrt(scales.Max() * scales.Min());
        return Array.ConvertAll(scales, scale => scale / middle);
    }

    private double Loss(LayerWeights weights, float[] scales, Tensor h) => OutputObjective.PerRow(weights.OutFeatures, h, (first, rows) =>
        Parallel.For(0, rows.Length / weights.InFeatures, _parallel, row =>
        {
            var w = weights.Row(first + row);
            var errors = rows.Span.Slice(row * weights.InFeatures, weights.InFeatures);
            Scale(w, scales, errors);
            foreach (var (start, length) in Groups(weights.InFeatures))
            {
                var group = errors.Slice(start, length);
                var (low, high) = RtnGrid.Range(group);
                var grid = RtnGrid.Over(low, high, recipe.Bases);
                for (var j = 0; j < length; j++)
                    group[j] = w[start + j] - grid.Decode(grid.Encode(group[j])) / scales[start + j];
            }
        })).Sum();

    /// <summary>The largest magnitude that each group [out, groups] keeps.</summary>
    private float[] Clip(LayerWeights weights, float[]? scales, Tensor h, CancellationToken cancellation)
    {
        var groups = Groups(weights.InFeatures).ToList();
        var clips = new float[weights.OutFeatures * groups.Count];
        var divisors = scales is null ? null : torch.tensor(scales).to(ScalarType.Float64);
        foreach (var (place, (start, length)) in groups.Index())
        {
            using var scope = torch.NewDisposeScope();
            var block = h.narrow(0, start, length).narrow(1, start, length);
            if (divisors is not null)
            {
                var part = divisors.narrow(0, start, length);
                block = block / part.unsqueeze(0) / part.unsqueeze(1);
            }
            var least = new double[weights.OutFeatures];
            for (var step = 0; step < Clips; step++)
            {
                cancellation.ThrowIfCancellationRequested();
                var found = OutputObjective.PerRow(weights.OutFeatures, block, (first, rows) => Parallel.For(0, rows.Length / length, _parallel, row =>
                {
                    var errors = rows.Span.Slice(row * length, length);
                    Scale(weights.Row(first + row).Slice(start, length), scales.AsSpan(scales is null ? 0 : start, scales is null ? 0 : length), errors);
                    var most = Clipped(errors, step);
                    var grid = Grid(errors, most);
                    foreach (ref var value in errors)
                        value -= grid.Decode(grid.Encode(Math.Clamp(value, -most, most)));
                }));
                for (var row = 0; row < found.Length; row++)
                {
                    if (step > 0 && found[row] >= least[row])
                        continue;
                    least[row] = found[row];
                    var values = new float[length];
                    Scale(weights.Row(row).Slice(start, length), scales.AsSpan(scales is null ? 0 : start, scales is null ? 0 : length), values);
                    clips[row * groups.Count + place] = Clipped(values, step);
                }
            }
        }
        return clips;
    }

    private RtnWeight Round(LayerWeights weights, float[]? scales, float[]? clips)
    {
        var result = new RtnWeight(recipe.Bases, weights.OutFeatures, weights.InFeatures, Math.Min(recipe.Group ?? weights.InFeatures, weights.InFeatures));
        Parallel.For(0, weights.OutFeatures, _parallel, row =>
        {
            var values = new float[weights.InFeatures];
            Scale(weights.Row(row), scales, values);
            foreach (var (group, (start, length)) in Groups(weights.InFeatures).Index())
            {
                var w = values.AsSpan(start, length);
                var place = row * result.Groups + group;
                var most = clips is null ? float.PositiveInfinity : clips[place];
                var grid = Grid(w, most);
                (result.Scales[place], result.Zeros[place]) = (grid.Scale, grid.Zero);
                for (var j = 0; j < length; j++)
                    result.Codes[row * weights.InFeatures + start + j] = grid.Encode(Math.Clamp(w[j], -most, most));
            }
        });
        return result;
    }

    private RtnGrid Grid(ReadOnlySpan<float> w, float most)
    {
        var (low, high) = RtnGrid.Range(w);
        return RtnGrid.Over(Math.Max(low, -most), Math.Min(high, most), recipe.Bases);
    }

    private static float Clipped(ReadOnlySpan<float> w, int step)
    {
        var (low, high) = RtnGrid.Range(w);
        return Math.Max(-low, high) * (1 - step / (2f * Clips));
    }

    private static void Scale(ReadOnlySpan<float> w, ReadOnlySpan<float> scales, Span<float> destination)
    {
        w.CopyTo(destination);
        for (var j = 0; j < scales.Length; j++)
            destination[j] *= scales[j];
    }

    private IEnumerable<(int Start, int Length)> Groups(int features)
    {
        var size = Math.Min(recipe.Group ?? features, features);
        for (var start = 0; start < features; start += size)
            yield return (start, Math.Min(size, features - start));
    }
}
