using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Methods.OutputAware;

namespace Qbb.Quantizer.Methods;

/// <summary>The weight of one linear layer, and what is known of its inputs, as a quantization method takes them.</summary>
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

    /// <summary>Second moments of the layer's inputs in calibration; null without calibration.</summary>
    public InputStatistics? Inputs { get; init; }

    /// <summary>Where the layer stands in its block; null for a matrix by itself.</summary>
    public LayerPlace? Place { get; init; }

    /// <summary><see cref="Inputs"/>, for methods that cannot do without.</summary>
    /// <exception cref="InvalidInputException">There are none.</exception>
    public InputStatistics RequireInputs() =>
        Inputs ?? throw new InvalidInputException($"{Name}: importance other than none needs calibration data; give --calibration or --text");

    /// <summary>The same layer with weights times 2^<paramref name="exponent"/>.</summary>
    public LayerWeights Times(int exponent) =>
        new(Name, OutFeatures, InFeatures, Array.ConvertAll(Values.ToArray(), value => MathF.ScaleB(value, exponent))) { Inputs = Inputs, Place = Place };

    /// <summary>A copy on a device, f32 [out, in].</summary>
    public unsafe Tensor On(Device device)
    {
        // Straight from managed memory: a tensor in between costs the time of several copies to the device.
        using var pinned = Values.Pin();
        using var view = torch.from_blob(pinned.Pointer, [OutFeatures, InFeatures], ScalarType.Float32);
        return view.to(device, copy: true);
    }

    /// <summary>One row, [in].</summary>
    public ReadOnlySpan<float> Row(int row) => Values.Span.Slice(row * InFeatures, InFeatures);
}

/// <summary>Where a layer stands in its block, for methods that look beyond its own weight.</summary>
/// <param name="Role">What it does.</param>
/// <param name="TakesInputScales">Whether the operation before can divide by a scale of each input at no cost.</param>
/// <param name="Readers">All layers that read the same inputs, this one included; read when requested.</param>
public sealed record LayerPlace(LinearRole Role, bool TakesInputScales, Func<IReadOnlyList<LayerWeights>> Readers);
