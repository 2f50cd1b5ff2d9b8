namespace Qbb.Models.Decoder;

/// <summary>A linear layer y = x Wᵀ + b, whatever form its weight has.</summary>
public interface ILinear : IDisposable
{
    int InFeatures { get; }

    int OutFeatures { get; }

    /// <param name="x">[…, in]</param>
    /// <returns>[…, out]</returns>
    Tensor forward(Tensor x);

    /// <summary>The tensors that can be trained, under names relative to the layer (weight, bias, …).</summary>
    IEnumerable<(string Name, Tensor Value)> Parameters();
}
