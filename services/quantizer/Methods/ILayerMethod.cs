using System.Numerics;
using System.Runtime.InteropServices;
using Qbb.Bases;
using Qbb.Models;
using Qbb.Quantizer.Methods.Lattice;
using Qbb.Quantizer.Methods.Rounding;

namespace Qbb.Quantizer.Methods;

/// <summary>A way to quantize the weight of one linear layer. The result does not depend on the number of threads.</summary>
public interface ILayerMethod
{
    /// <summary>A short name for tables.</summary>
    string Name { get; }

    /// <summary>Quantizes one layer.</summary>
    /// <exception cref="InvalidInputException">The weight cannot be expressed; the message names it.</exception>
    LayerResult Quantize(LayerWeights weights, CancellationToken cancellation = default);
}

/// <summary>A quantized layer and its report.</summary>
/// <param name="Weight">The stored form; a <see cref="BinaryBases"/> for the methods that make them.</param>
/// <param name="Report">Errors, sizes and time.</param>
public sealed record LayerResult(IQuantizedWeight Weight, LayerReport Report);

/// <summary>Where fp16, the type of stored scales, ends, and the power of two that brings others within.</summary>
internal static class HalfScales
{
    /// <summary>2⁻¹⁴: below it digits are lost.</summary>
    public const double SmallestNormal = 6.103515625e-5;

    /// <summary>The largest weight of a layer that is worked on as it is: scales below it still have the digits that its errors ask for.</summary>
    private const int LeastExponent = -10, MostExponent = 14;

    /// <summary>Quantizes weights that are too small or too large for fp16's scales as 2^e times weights below 1, where that is so.</summary>
    public static LayerResult QuantizeInRange(this ILayerMethod method, LayerWeights weights, CancellationToken cancellation = default)
    {
        var exponent = ExponentOf(weights.Values.Span);
        if (exponent == 0)
            return method.Quantize(weights, cancellation);
        var result = method.Quantize(weights.Times(-exponent), cancellation);
        var report = result.Report;
        IQuantizedWeight weight = result.Weight switch
        {
            NestedBases nested => nested.WithExponent(exponent),
            ScaledBases scaled => scaled with { Bases = scaled.Bases.WithExponent(exponent) },
            LatticeWeight lattice => lattice.Times(exponent),
            var bases => ((BinaryBases)bases).WithExponent(exponent),
        };
        return new(weight, report with
        {
            SquaredNorm = Math.ScaleB(report.SquaredNorm, 2 * exponent),
            SquaredError = Math.ScaleB(report.SquaredError, 2 * exponent),
            Output = report.Output is not { } output ? null : output with
            {
                Norm = Math.ScaleB(output.Norm, 2 * exponent),
                AfterStep = [.. output.AfterStep.Select(error => Math.ScaleB(error, 2 * exponent))],
            },
        });
    }

    /// <summary>e with max|w|·2^−e in [0.5, 1); 0 where the weights are in range.</summary>
    public static int ExponentOf(ReadOnlySpan<float> weights)
    {
        var largest = LargestMagnitude(weights);
        var exponent = largest > 0 ? Math.ILogB(largest) + 1 : 0;
        return exponent is >= LeastExponent and <= MostExponent ? 0 : Math.Clamp(exponent, -126, 126);
    }

    /// <summary>Of finite numbers; 0 of none.</summary>
    internal static float LargestMagnitude(ReadOnlySpan<float> weights)
    {
        var vectors = MemoryMarshal.Cast<float, Vector<float>>(weights);
        var most = Vector<float>.Zero;
        foreach (var vector in vectors)
            most = Vector.Max(most, Vector.Abs(vector));
        var largest = 0f;
        for (var k = 0; k < Vector<float>.Count; k++)
            largest = Math.Max(largest, most[k]);
        foreach (var weight in weights[(vectors.Length * Vector<float>.Count)..])
            largest = Math.Max(largest, Math.Abs(weight));
        return largest;
    }

    /// <summary>The exponent of integer scales from <paramref name="least"/> to <paramref name="largest"/>: 0 where fp16 has all their digits, else such that the largest has the highest place.</summary>
    public static int ExponentOf(double least, double largest) =>
        largest == 0 || least >= SmallestNormal && largest < 32768 ? 0 : Math.Clamp(Math.ILogB(largest) - 14, -126, 126);

    /// <summary>The error for a weight whose scales overflow.</summary>
    public static InvalidInputException TooLarge(string weight) => new(
        $"{weight}: a group needs a scale or bias beyond 65504, where fp16 ends; " +
        "divide the weight by a constant and multiply the layer that precedes or follows by it");
}
