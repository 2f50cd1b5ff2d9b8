using Qbb.Models;

namespace Qbb.Quantizer.Layers;

/// <summary>Where fp16, the type of stored scales, ends.</summary>
internal static class HalfScales
{
    /// <summary>2⁻¹⁴: below it digits are lost.</summary>
    public const double SmallestNormal = 6.103515625e-5;

    /// <summary>The error for a weight whose scales overflow.</summary>
    public static InvalidInputException TooLarge(string weight) => new(
        $"{weight}: a group needs a scale or bias beyond 65504, where fp16 ends; " +
        "divide the weight by a constant and multiply the layer that precedes or follows by it");
}
