using System.Numerics;
using Qbb.Models;

namespace Qbb.Quantizer.Layers;

/// <summary>The weight of one linear layer as a quantization method takes it.</summary>
public sealed class LayerWeights
{
    /// <param name="name">Name of the tensor, for messages.</param>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="values">Row-major [out, in].</param>
    /// <exception cref="InvalidInputException">A value is not a finite number; the message names the tensor and the place.</exception>
    public LayerWeights(string name, int outFeatures, int inFeatures, ReadOnlyMemory<float> values)
    {
        if (outFeatures < 1 || inFeatures < 1 || values.Length != (long)outFeatures * inFeatures)
            throw new InvalidInputException($"{name}: {values.Length} values do not make a weight of {outFeatures} × {inFeatures}");
        var wrong = FirstNotFinite(values.Span);
        if (wrong >= 0)
        {
            throw new InvalidInputException(
                $"{name} has the value {values.Span[wrong]} at row {wrong / inFeatures}, column {wrong % inFeatures}; weights must be finite, so the checkpoint is damaged or its training diverged");
        }
        Name = name;
        OutFeatures = outFeatures;
        InFeatures = inFeatures;
        Values = values;
    }

    /// <summary>Name of the tensor.</summary>
    public string Name { get; }

    /// <summary>Rows.</summary>
    public int OutFeatures { get; }

    /// <summary>Columns.</summary>
    public int InFeatures { get; }

    /// <summary>Row-major [out, in], all finite.</summary>
    public ReadOnlyMemory<float> Values { get; }

    /// <summary>One row, [in].</summary>
    public ReadOnlySpan<float> Row(int row) => Values.Span.Slice(row * InFeatures, InFeatures);

    private static int FirstNotFinite(ReadOnlySpan<float> values)
    {
        var index = 0;
        for (; index + Vector<float>.Count <= values.Length; index += Vector<float>.Count)
        {
            // Infinity and NaN are the only values that minus themselves are not 0.
            var block = new Vector<float>(values[index..]);
            if (block - block != Vector<float>.Zero)
                break;
        }
        for (; index < values.Length; index++)
        {
            if (!float.IsFinite(values[index]))
                return index;
        }
        return -1;
    }
}
