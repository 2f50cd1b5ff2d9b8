using Qbb.Bases;

namespace Qbb.Quantizer.Methods.Rounding;

/// <summary>
/// Bases of W·diag(s): the weight is what they give over s, column by column. The operation before the layer divides by s instead
/// where the model is written (<see cref="Driver.InputFold"/>), so s takes no bits.
/// </summary>
/// <param name="Bases">Of the scaled weight.</param>
/// <param name="InputScales">s [in], positive.</param>
public sealed record ScaledBases(BinaryBases Bases, float[] InputScales) : IQuantizedWeight
{
    /// <inheritdoc/>
    public int OutFeatures => Bases.OutFeatures;

    /// <inheritdoc/>
    public int InFeatures => Bases.InFeatures;

    /// <inheritdoc/>
    public double EffectiveBitsPerWeight => Bases.EffectiveBitsPerWeight;

    /// <inheritdoc/>
    public void Dequantize(int firstRow, int rows, Span<float> destination)
    {
        Bases.Dequantize(firstRow, rows, destination);
        for (var row = 0; row < rows; row++)
        {
            for (var column = 0; column < InFeatures; column++)
                destination[row * InFeatures + column] /= InputScales[column];
        }
    }
}
