namespace Qbb.Bases;

/// <summary>The weight [out, in] of one linear layer in a quantized form that can be expanded again.</summary>
public interface IQuantizedWeight
{
    /// <summary>Rows of the weight.</summary>
    int OutFeatures { get; }

    /// <summary>Columns of the weight.</summary>
    int InFeatures { get; }

    /// <summary>Bits that the stored form takes for each weight, scales and padding included.</summary>
    double EffectiveBitsPerWeight { get; }

    /// <summary>Expands rows [firstRow, firstRow + rows) into <paramref name="destination"/>, row-major [rows, in].</summary>
    void Dequantize(int firstRow, int rows, Span<float> destination);
}
