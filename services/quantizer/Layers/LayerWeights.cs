using Qbb.Models;
using Qbb.Models.Checkpoints;

namespace Qbb.Quantizer.Layers;

/// <summary>The weight of one linear layer as a quantization method takes it.</summary>
public sealed class LayerWeights
{
    /// <param name="name">Name of the tensor, for messages.</param>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="values">Row-major [out, in].</param>
    /// <exception cref="InvalidInputException">A value is not a finite number; the message names the tensor.</exception>
    public LayerWeights(string name, int outFeatures, int inFeatures, ReadOnlyMemory<float> values)
    {
        if (outFeatures < 1 || inFeatures < 1 || values.Length != (long)outFeatures * inFeatures)
            throw new InvalidInputException($"{name}: {values.Length} values do not make a weight of {outFeatures} × {inFeatures}");
        WeightChecks.ThrowIfNotFinite(name, values.Span);
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
}
