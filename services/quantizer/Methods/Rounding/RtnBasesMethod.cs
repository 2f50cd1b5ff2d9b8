using System.Diagnostics;
using Qbb.Bases;
using Qbb.Models;
using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.Rounding;

/// <summary>
/// Round to nearest, written as binary bases: a grid of b bits is b bases and a bias, (q − z)·s = Σ_j 2^(j−1)·s·B_j + ((2^b − 1)/2 − z)·s,
/// where bit j − 1 of the code q is the sign of B_j. Scales and biases are rounded to fp16 like all others.
/// </summary>
public sealed class RtnBasesMethod(Recipe recipe, int threads = 0) : ILayerMethod
{
    private readonly RtnMethod _rounding = new(recipe.Bases, recipe.Group, recipe.Init == Init.RtnClip, threads);

    /// <inheritdoc/>
    public string Name => _rounding.Name;

    /// <inheritdoc/>
    public LayerResult Quantize(LayerWeights weights, CancellationToken cancellation = default)
    {
        var clock = Stopwatch.StartNew();
        var rounded = _rounding.Quantize(weights, cancellation);
        var bases = Convert((RtnWeight)rounded.Weight);
        if (!bases.Alpha.All(Half.IsFinite) || !bases.Beta!.All(Half.IsFinite))
            throw HalfScales.TooLarge(weights.Name);
        double squares = 0;
        var row = new float[weights.InFeatures];
        for (var r = 0; r < weights.OutFeatures; r++)
        {
            bases.Dequantize(r, 1, row);
            var source = weights.Row(r);
            for (var j = 0; j < row.Length; j++)
                squares += ((double)source[j] - row[j]) * ((double)source[j] - row[j]);
        }
        return new LayerResult(bases, rounded.Report with
        {
            EffectiveBitsPerWeight = bases.EffectiveBitsPerWeight,
            SquaredError = squares,
            Seconds = clock.Elapsed.TotalSeconds,
        });
    }

    internal static BinaryBases Convert(RtnWeight weight)
    {
        var (count, words) = (weight.Bits, SignPacking.WordsPerRow(weight.InFeatures));
        var planes = new uint[count * weight.OutFeatures * words];
        var alpha = new Half[count * weight.Scales.Length];
        var beta = new Half[weight.Scales.Length];
        for (var j = 0; j < count; j++)
        {
            for (var row = 0; row < weight.OutFeatures; row++)
            {
                var codes = weight.Codes.AsSpan(row * weight.InFeatures, weight.InFeatures);
                SignPacking.PackBit(codes, j, planes.AsSpan((j * weight.OutFeatures + row) * words, words));
            }
            for (var group = 0; group < weight.Scales.Length; group++)
                alpha[j * weight.Scales.Length + group] = (Half)(MathF.ScaleB(weight.Scales[group], j - 1));
        }
        for (var group = 0; group < beta.Length; group++)
            beta[group] = (Half)((((1 << count) - 1) / 2f - weight.Zeros[group]) * weight.Scales[group]);
        return new BinaryBases(count, weight.OutFeatures, weight.InFeatures, weight.GroupSize, planes, alpha, beta);
    }
}
