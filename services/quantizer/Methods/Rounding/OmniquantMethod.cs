using System.Diagnostics;
using Qbb.Models;
using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.Rounding;

/// <summary>
/// OmniQuant's learnable weight clipping (Shao et al. 2024), weights only, written as binary bases: the ends of every group's range, times
/// the sigmoids of two numbers that start at 4, learn by AdamW with gradients straight through the roundings. The loss is the error of the layer's own outputs
/// on the quantized stream; the paper's is that of a block's. It needs no samples beyond H, so every step has the gradient of all,
/// and an epoch is <see cref="StepsOfEpoch"/> steps. Each row keeps its best step. <see cref="ReferenceOmniquant"/> is the plain form.
/// </summary>
/// <param name="recipe">Bits (its bases) and group.</param>
/// <param name="device">Where it learns.</param>
public sealed class OmniquantMethod(Recipe recipe, Device device) : ILayerMethod
{
    internal const int StepsOfEpoch = 16;
    internal const float Start = 4, Rate = 1e-2f, FirstDecay = 0.9f, SecondDecay = 0.999f, Least = 1e-8f;

    /// <inheritdoc/>
    public string Name => "omniquant";

    /// <summary>20 epochs, at 2 bits and below 40.</summary>
    internal static int Steps(int bits) => StepsOfEpoch * (bits <= 2 ? 40 : 20);

    /// <inheritdoc/>
    public LayerResult Quantize(LayerWeights weights, CancellationToken cancellation = default)
    {
        var clock = Stopwatch.StartNew();
        var inputs = weights.RequireInputs();
        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        var h = OutputObjective.Damped(OutputObjective.Mean(inputs, weights.Name));
        var rounded = Learn(weights, h, out var before, cancellation);
        var bases = RtnBasesMethod.Convert(rounded);
        if (!bases.Alpha.All(Half.IsFinite) || !bases.Beta!.All(Half.IsFinite))
            throw HalfScales.TooLarge(weights.Name);
        var (after, squared) = OutputObjective.Error(weights, bases, h);
        return new(bases, new LayerReport(
            weights.Name, weights.OutFeatures, weights.InFeatures, bases.EffectiveBitsPerWeight, OutputObjective.SquaredNorm(weights), squared, [], [], [], 0, clock.Elapsed.TotalSeconds)
        {
            Output = new OutputError(OutputObjective.Norm(weights, h), [before, after], InputStatistics.Damping, inputs.Count),
        });
    }

    private RtnWeight Learn(LayerWeights weights, Tensor h, out double before, CancellationToken cancellation)
    {
        var (rows, features) = (weights.OutFeatures, weights.InFeatures);
        var size = Math.Min(recipe.Group ?? features, features);
        var groups = (features - 1) / size + 1;
        // A short last group is filled up with weights of 0, which count for nothing and change no range.
        var missing = groups * size - features;
        var w = torch.nn.functional.pad(weights.On(device), [0, missing]).reshape(rows, groups, size);
        // Of a size that Adam's smallest denominator does not reach.
        var unit = Math.Max(OutputObjective.Norm(weights, h) / rows, double.Epsilon);
        var curvature = torch.nn.functional.pad(h, [0, missing, 0, missing]).to(ScalarType.Float32).to(device);
        var (low, high) = (w.amin([2], keepdim: true).clamp_max(0), w.amax([2], keepdim: true).clamp_min(0));
        var largest = (1 << recipe.Bases) - 1;
        Tensor upper = torch.full_like(high, Start), lower = torch.full_like(low, Start);
        Tensor[] moments = [.. Enumerable.Range(0, 4).Select(_ => torch.zeros_like(high))];
        Tensor bestUpper = upper.clone(), bestLower = lower.clone(), least = torch.full([rows], float.PositiveInfinity, device: device);
        before = 0;
        for (var step = 1; step <= Steps(recipe.Bases) + 1; step++)
        {
            cancellation.ThrowIfCancellationRequested();
            using var inner = torch.NewDisposeScope();
            var (scale, zero) = Grid(upper, lower);
            var exact = w / scale;
            var unclamped = exact.round() + zero;
            var codes = unclamped.clamp(0, largest);
            var error = (codes - zero) * scale - w;
            var gradient = error.reshape(rows, -1).matmul(curvature).reshape(rows, groups, size);
            var objective = (error * gradient).sum([1, 2]);
            if (step == 1)
                before = objective.sum(type: ScalarType.Float64).ToDouble();
            var better = objective.less(least);
            least.copy_(torch.where(better, objective, least));
            bestUpper.copy_(torch.where(better.reshape(-1, 1, 1), upper, bestUpper));
            bestLower.copy_(torch.where(better.reshape(-1, 1, 1), lower, bestLower));
            if (step > Steps(recipe.Bases))
                break;
            // Straight through the rounding, and nothing through that of the zero point, as in the authors' code.
            var inside = unclamped.eq(codes).to(ScalarType.Float32);
            var slope = (gradient * (codes - zero - exact * inside)).sum([2], keepdim: true) * (2 / (largest * unit));
            Adam(upper, slope * high * Slope(upper), moments[0], moments[1], step);
            Adam(lower, slope * -low * Slope(lower), moments[2], moments[3], step);
        }
        var (bestScale, bestZero) = Grid(bestUpper, bestLower);
        var result = new RtnWeight(recipe.Bases, rows, features, size);
        var found = ((w / bestScale).round() + bestZero).clamp(0, largest).reshape(rows, -1).narrow(1, 0, features);
        found.to(ScalarType.Byte).cpu().contiguous().ToArray<byte>().CopyTo(result.Codes, 0);
        bestScale.cpu().ToArray<float>().CopyTo(result.Scales, 0);
        bestZero.cpu().ToArray<float>().CopyTo(result.Zeros, 0);
        return result;

        (Tensor Scale, Tensor Zero) Grid(Tensor up, Tensor down)
        {
            var bottom = low * down.sigmoid();
            var range = (high * up.sigmoid() - bottom) / largest;
            // A group of zeros has any grid with a 0.
            var scale = torch.where(range.greater(0), range, torch.full_like(range, 2f / largest));
            return (scale, (-bottom / scale).round());
        }
    }

    private static Tensor Slope(Tensor x) => x.sigmoid() * (1 - x.sigmoid());

    private static void Adam(Tensor value, Tensor gradient, Tensor first, Tensor second, int step)
    {
        first.mul_(FirstDecay).add_(gradient, alpha: 1 - FirstDecay);
        second.mul_(SecondDecay).add_(gradient.square(), alpha: 1 - SecondDecay);
        var size = (second / (1 - Math.Pow(SecondDecay, step))).sqrt().add_(Least);
        value.sub_(first / (1 - Math.Pow(FirstDecay, step)) / size * Rate);
    }
}
