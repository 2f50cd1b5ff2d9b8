namespace Qbb.Quantizer.Layers;

/// <summary>A way to quantize the weight of one linear layer. The result does not depend on the number of threads.</summary>
public interface ILayerMethod
{
    /// <summary>A short name for tables.</summary>
    string Name { get; }

    /// <summary>Quantizes one layer.</summary>
    /// <exception cref="InvalidInputException">The weight cannot be expressed; the message names it.</exception>
    LayerResult Quantize(LayerWeights weights, CancellationToken cancellation = default);
}
