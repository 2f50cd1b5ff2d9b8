using Qbb.Bases;

namespace Qbb.Quantizer.Methods.Rounding;

/// <summary>A weight rounded to integers: ŵ = (q − z)·s, one scale and zero point per row and group.</summary>
public sealed class RtnWeight : IQuantizedWeight
{
    internal RtnWeight(int bits, int outFeatures, int inFeatures, int groupSize)
    {
        (Bits, OutFeatures, InFeatures, GroupSize) = (bits, outFeatures, inFeatures, groupSize);
        Codes = new byte[(long)outFeatures * inFeatures];
        Scales = new float[outFeatures * Groups];
        Zeros = new float[outFeatures * Groups];
    }

    /// <summary>Bits of a code.</summary>
    public int Bits { get; }

    /// <inheritdoc/>
    public int OutFeatures { get; }

    /// <inheritdoc/>
    public int InFeatures { get; }

    /// <summary>Columns that share a scale.</summary>
    public int GroupSize { get; }

    /// <summary>Groups of a row; the last may be shorter.</summary>
    public int Groups => (InFeatures - 1) / GroupSize + 1;

    /// <summary>q, 0 … 2^bits − 1, [out, in].</summary>
    public byte[] Codes { get; }

    /// <summary>s, [out, groups].</summary>
    public float[] Scales { get; }

    /// <summary>z, a whole number, [out, groups].</summary>
    public float[] Zeros { get; }

    /// <summary>Codes, 16 bits a scale and one code a zero point, as such files store them.</summary>
    public double EffectiveBitsPerWeight => Bits + (16.0 + Bits) * Groups / InFeatures;

    /// <inheritdoc/>
    public void Dequantize(int firstRow, int rows, Span<float> destination)
    {
        if (firstRow < 0 || rows < 0 || (long)firstRow + rows > OutFeatures)
            throw new ArgumentOutOfRangeException(nameof(firstRow), $"rows {firstRow} to {(long)firstRow + rows} of {OutFeatures}");
        for (var row = 0; row < rows; row++)
        {
            for (var column = 0; column < InFeatures; column++)
            {
                var group = (firstRow + row) * Groups + column / GroupSize;
                destination[row * InFeatures + column] = Scales[group] * (Codes[(firstRow + row) * InFeatures + column] - Zeros[group]);
            }
        }
    }
}
