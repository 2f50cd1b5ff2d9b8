using System.Diagnostics;
using Qbb.Models;

namespace Qbb.Quantizer.Methods.Rounding;

/// <summary>
/// Round to nearest, the method that every other is compared with; with clip search the range of every group shrinks in steps of 1 %
/// down to 21 % of it, and the share of least squared error is taken.
/// </summary>
public sealed class RtnMethod : ILayerMethod
{
    private const int ClipSteps = 80;
    private readonly int _bits;
    private readonly int? _group;
    private readonly bool _clipSearch;
    private readonly int _threads;

    /// <param name="bits">Bits of a code, 1 to 8.</param>
    /// <param name="group">Columns that share a scale; null for one scale a row.</param>
    /// <param name="clipSearch">Whether ranges may shrink.</param>
    /// <param name="threads">Threads of one layer; 0 for one per processor.</param>
    /// <exception cref="InvalidInputException">Bits or group are out of range.</exception>
    public RtnMethod(int bits, int? group, bool clipSearch, int threads = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        if (bits is < 1 or > 8)
            throw new InvalidInputException($"bits is {bits}, it must be 1 to 8");
        if (group < 1)
            throw new InvalidInputException($"group is {group}, it must be at least 1");
        (_bits, _group, _clipSearch) = (bits, group, clipSearch);
        _threads = threads == 0 ? Environment.ProcessorCount : threads;
    }

    /// <inheritdoc/>
    public string Name => _clipSearch ? "rtn clip search" : "rtn";

    /// <inheritdoc/>
    public LayerResult Quantize(LayerWeights weights, CancellationToken cancellation = default)
    {
        var clock = Stopwatch.StartNew();
        var result =
            new RtnWeight(_bits, weights.OutFeatures, weights.InFeatures, Math.Min(_group ?? weights.InFeatures, weights.InFeatures));
        var norms = new double[weights.OutFeatures];
        var errors = new double[weights.OutFeatures];
        Parallel.For(
            0,
            weights.OutFeatures,
            new ParallelOptions { MaxDegreeOfParallelism = _threads, CancellationToken = cancellation },
            row => (norms[row], errors[row]) = Row(weights.Row(row), row, result));
        var report = new LayerReport(
            weights.Name, weights.OutFeatures, weights.InFeatures, result.EffectiveBitsPerWeight, norms.Sum(), errors.Sum(),
            [], [], [], 0, clock.Elapsed.TotalSeconds);
        return new LayerResult(result, report);
    }

    private (double Norm, double Error) Row(ReadOnlySpan<float> line, int row, RtnWeight result)
    {
        double norm = 0, squares = 0;
        for (var group = 0; group < result.Groups; group++)
        {
            var first = group * result.GroupSize;
            var w = line[first..(int)Math.Min((long)first + result.GroupSize, line.Length)];
            var grid = Grid(w);
            result.Scales[row * result.Groups + group] = grid.Scale;
            result.Zeros[row * result.Groups + group] = grid.Zero;
            for (var j = 0; j < w.Length; j++)
            {
                var code = result.Codes[row * line.Length + first + j] = grid.Encode(w[j]);
                var error = w[j] - grid.Scale * (code - grid.Zero);
                norm += (double)w[j] * w[j];
                squares += (double)error * error;
            }
        }
        return (norm, squares);
    }

    private RtnGrid Grid(ReadOnlySpan<float> w)
    {
        var (low, high) = RtnGrid.Range(w);
        var best = RtnGrid.Over(low, high, _bits);
        if (!_clipSearch)
            return best;
        var least = best.SquaredError(w);
        for (var step = 1; step < ClipSteps; step++)
        {
            var share = 1 - step / 100f;
            var grid = RtnGrid.Over(low * share, high * share, _bits);
            var error = grid.SquaredError(w);
            if (error < least)
                (best, least) = (grid, error);
        }
        return best;
    }
}
