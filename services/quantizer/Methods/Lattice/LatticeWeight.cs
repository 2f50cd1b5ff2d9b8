using Qbb.Bases;

namespace Qbb.Quantizer.Methods.Lattice;

/// <summary>A weight of lattice codes as the numbers that they give: bases do not hold it, so it is stored as plain weights and its bits are counted.</summary>
/// <param name="OutFeatures">Rows.</param>
/// <param name="InFeatures">Columns.</param>
/// <param name="Values">[out, in]</param>
/// <param name="EffectiveBitsPerWeight">Codes, signs of the transforms and the scale.</param>
public sealed record LatticeWeight(int OutFeatures, int InFeatures, float[] Values, double EffectiveBitsPerWeight) : IQuantizedWeight
{
    /// <inheritdoc/>
    public void Dequantize(int firstRow, int rows, Span<float> destination) =>
        Values.AsSpan(firstRow * InFeatures, rows * InFeatures).CopyTo(destination);

    /// <summary>The same weight times 2^<paramref name="exponent"/>.</summary>
    public LatticeWeight Times(int exponent) => this with { Values = Array.ConvertAll(Values, value => MathF.ScaleB(value, exponent)) };
}
