using System.Diagnostics;
using Qbb.Models;
using Qbb.Quantizer.Methods.OutputAware;
using Qbb.Quantizer.Methods.Rounding;

namespace Qbb.Quantizer.Methods.Lattice;

/// <summary>
/// QuIP# (Tseng et al. 2024) without its fine-tuning, written from the paper: random orthogonal transforms of the rows and columns
/// (<see cref="Incoherence"/>), then eight columns at a time, from the last to the first, the nearest codes of the weights with what the
/// errors behind them ask for (block LDL), then sweeps over the blocks given all others. <see cref="ReferenceQuip"/> is the plain form.
/// </summary>
/// <param name="bits">2, 3 or 4.</param>
/// <param name="threads">Threads of one layer; 0 for one per processor. The result does not depend on it.</param>
public sealed class QuipMethod(int bits, int threads = 0) : ILayerMethod
{
    internal const int Sweeps = 10;
    private const int Width = E8Codebook.Width, RowsAtOnce = 16;
    private readonly LatticeCode _code = new(bits);
    private readonly ParallelOptions _parallel = new() { MaxDegreeOfParallelism = threads == 0 ? Environment.ProcessorCount : threads };

    /// <inheritdoc/>
    public string Name => $"quip {bits} bits";

    /// <inheritdoc/>
    public LayerResult Quantize(LayerWeights weights, CancellationToken cancellation = default)
    {
        var clock = Stopwatch.StartNew();
        var inputs = weights.RequireInputs();
        if (weights.InFeatures % Width != 0)
            throw new InvalidInputException($"{weights.Name}: {weights.InFeatures} inputs do not divide into the {Width} of a code of QuIP#; leave out quip");
        using var scope = torch.NewDisposeScope();
        var h = OutputObjective.Damped(OutputObjective.Mean(inputs, weights.Name));
        using Incoherence columns = new(weights.InFeatures, SeedOf(1), weights.Name), rows = new(weights.OutFeatures, SeedOf(2), weights.Name);
        var turned = columns.Apply(columns.Apply(h).t());
        turned = (turned + turned.t()) / 2;
        var w = weights.On(torch.CPU).to(ScalarType.Float64);
        var mixed = rows.Apply(columns.Apply(w).t()).t();
        var scale = mixed.square().mean().sqrt().ToDouble();
        var values = scale > 0 ? (mixed / scale).ToArray<double>() : new double[weights.Values.Length];
        if (scale > 0)
            Solve(values, turned, weights, cancellation);
        var back = columns.Undo(rows.Undo((torch.tensor(values, weights.OutFeatures, weights.InFeatures) * scale).t()).t());
        var result = new LatticeWeight(
            weights.OutFeatures, weights.InFeatures, back.to(ScalarType.Float32).ToArray<float>(), BitsOf(weights.OutFeatures, weights.InFeatures, columns.StoredBits + rows.StoredBits));
        var (after, squared) = OutputObjective.Error(weights, result, h);
        return new(result, new LayerReport(
            weights.Name, weights.OutFeatures, weights.InFeatures, result.EffectiveBitsPerWeight, OutputObjective.SquaredNorm(weights), squared, [], [], [], 0, clock.Elapsed.TotalSeconds)
        {
            Output = new OutputError(OutputObjective.Norm(weights, h), [after], InputStatistics.Damping, inputs.Count),
        });
    }

    /// <summary>Of the transform of the columns (1) or rows (2): the same for all layers.</summary>
    internal static ulong SeedOf(int side) => (ulong)side;

    /// <summary>Codes, what the transforms' files store, and a scale of 32 bits.</summary>
    private double BitsOf(int rows, int columns, long transforms) => bits + (transforms + 32.0) / ((double)rows * columns);

    /// <summary>Replaces weights of unit size by the values of their codes.</summary>
    private void Solve(double[] values, Tensor h, LayerWeights weights, CancellationToken cancellation)
    {
        var (feedback, inverses) = Factors(h, weights.Name);
        var matrix = h.ToArray<double>();
        _parallel.CancellationToken = cancellation;
        Parallel.For(0, (weights.OutFeatures + RowsAtOnce - 1) / RowsAtOnce, _parallel, block =>
        {
            var first = block * RowsAtOnce;
            var count = Math.Min(RowsAtOnce, weights.OutFeatures - first);
            SolveRows(values.AsSpan(first * weights.InFeatures, count * weights.InFeatures), count, weights.InFeatures, feedback, inverses, matrix);
        });
    }

    private void SolveRows(Span<double> values, int rows, int features, double[] feedback, double[] inverses, double[] matrix)
    {
        double[] w = values.ToArray(), errors = new double[values.Length], gradient = new double[values.Length], change = new double[rows * Width];
        // Weights as the errors of the blocks behind ask for them.
        double[] wanted = values.ToArray();
        for (var first = features - Width; first >= 0; first -= Width)
        {
            for (var row = 0; row < rows; row++)
            {
                var place = row * features + first;
                _code.Round(wanted.AsSpan(place, Width), values.Slice(place, Width));
                for (var i = 0; i < Width; i++)
                    change[row * Width + i] = errors[place + i] = w[place + i] - values[place + i];
            }
            BlockProduct.Add(change, Width, rows, Width, feedback.AsSpan(first * features), features, first, wanted, features);
        }
        BlockProduct.Add(errors, features, rows, features, matrix, features, features, gradient, features);
        for (var sweep = 0; sweep < Sweeps; sweep++)
        {
            var changed = false;
            for (var first = features - Width; first >= 0; first -= Width)
            {
                var any = false;
                for (var row = 0; row < rows; row++)
                {
                    var place = row * features + first;
                    var delta = change.AsSpan(row * Width, Width);
                    any |= Move(values.Slice(place, Width), gradient.AsSpan(place, Width), inverses.AsSpan(first * Width), matrix.AsSpan(first * features + first), features, delta);
                }
                if (any)
                    BlockProduct.Add(change, Width, rows, Width, matrix.AsSpan(first * features), features, features, gradient, features, -1);
                changed |= any;
            }
            if (!changed)
                break;
        }
    }

    /// <summary>Takes the codes nearest to a block's best values given all others, if the objective falls by that.</summary>
    /// <param name="values">[8]</param>
    /// <param name="gradient">(EH) of the block.</param>
    /// <param name="inverse">Of the block of H.</param>
    /// <param name="block">Of H.</param>
    /// <param name="stride">Distance of its rows.</param>
    /// <param name="delta">What values changed by.</param>
    private bool Move(Span<double> values, ReadOnlySpan<double> gradient, ReadOnlySpan<double> inverse, ReadOnlySpan<double> block, int stride, Span<double> delta)
    {
        Span<double> wanted = stackalloc double[Width];
        for (var i = 0; i < Width; i++)
        {
            wanted[i] = values[i];
            for (var j = 0; j < Width; j++)
                wanted[i] += gradient[j] * inverse[j * Width + i];
        }
        _code.Round(wanted, wanted);
        var fall = 0.0;
        for (var i = 0; i < Width; i++)
            delta[i] = wanted[i] - values[i];
        for (var i = 0; i < Width; i++)
        {
            fall += 2 * delta[i] * gradient[i];
            for (var j = 0; j < Width; j++)
                fall -= delta[i] * block[i * stride + j] * delta[j];
        }
        if (!(fall > 1e-12))
        {
            delta.Clear();
            return false;
        }
        wanted.CopyTo(values);
        return true;
    }

    /// <summary>L of H = L·D·Lᵀ, of blocks of 8 with the identity on the diagonal, and the inverses [in, 8] of H's own blocks.</summary>
    private static (double[] Feedback, double[] Inverses) Factors(Tensor h, string layer)
    {
        using var scope = torch.NewDisposeScope();
        var features = (int)h.shape[0];
        var (lower, failed) = torch.linalg.cholesky_ex(h);
        if (failed.ToInt64() != 0)
            throw Curvature.NotFactorized(layer);
        var diagonal = torch.stack([.. Enumerable.Range(0, features / Width).Select(k => lower.narrow(0, k * Width, Width).narrow(1, k * Width, Width))]);
        // Column block k of L is that of the factor times the inverse of its own block.
        var unit = torch.matmul(lower.reshape(features, -1, Width).transpose(0, 1), torch.linalg.inv(diagonal)).transpose(0, 1).reshape(features, features);
        var own = torch.stack([.. Enumerable.Range(0, features / Width).Select(k => h.narrow(0, k * Width, Width).narrow(1, k * Width, Width))]);
        return (unit.contiguous().ToArray<double>(), torch.linalg.inv(own).reshape(features, Width).ToArray<double>());
    }
}
