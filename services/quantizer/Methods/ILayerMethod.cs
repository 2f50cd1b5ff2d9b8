using System.Globalization;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;

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

/// <summary>A quantized layer and what it came to.</summary>
/// <param name="Weight">The stored form; a <see cref="BinaryBases"/> for the methods that make them.</param>
/// <param name="Report">Errors, sizes and time.</param>
public sealed record LayerResult(IQuantizedWeight Weight, LayerReport Report);

/// <summary>Where fp16, the type of stored scales, ends.</summary>
internal static class HalfScales
{
    /// <summary>2⁻¹⁴: below it digits are lost.</summary>
    public const double SmallestNormal = 6.103515625e-5;

    /// <summary>2⁻¹⁹: weights of this root mean square have scales that fp16 keeps to 5 bits, and below that a layer fades to zero.</summary>
    private const double SmallestRms = 1.9073486328125e-6;

    /// <summary>Refuses a layer whose scales would underflow, and warns of rows that would; zeros alone are neither.</summary>
    /// <param name="weight">The weight's name.</param>
    /// <param name="values">[rows, columns]</param>
    /// <param name="columns">Columns.</param>
    public static void CheckNotTooSmall(string weight, ReadOnlySpan<float> values, int columns)
    {
        var (total, small) = (0.0, 0);
        for (var row = 0; row < values.Length; row += columns)
        {
            var squares = 0.0;
            foreach (var value in values.Slice(row, columns))
                squares += (double)value * value;
            small += IsTooSmall(squares, columns) ? 1 : 0;
            total += squares;
        }
        if (IsTooSmall(total, values.Length))
            throw new InvalidInputException(string.Create(CultureInfo.InvariantCulture, $"{weight}: the weights have a root mean square of {Math.Sqrt(total / values.Length):g2}, ")
                + "and their scales would underflow in fp16; multiply the weight by a constant and divide the layer that precedes or follows by it");
        if (small > 0)
            ModelWarnings.Report($"{weight}: {small} of {values.Length / columns} rows have weights so small that their scales underflow in fp16; they lose digits or become zero");
    }

    private static bool IsTooSmall(double squares, long count) => squares > 0 && Math.Sqrt(squares / count) < SmallestRms;

    /// <summary>The error for a weight whose scales overflow.</summary>
    public static InvalidInputException TooLarge(string weight) => new(
        $"{weight}: a group needs a scale or bias beyond 65504, where fp16 ends; " +
        "divide the weight by a constant and multiply the layer that precedes or follows by it");
}
