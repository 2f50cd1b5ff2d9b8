using Qbb.Torch;

namespace Qbb.Models.Decoder;

/// <summary>A linear layer with plain weights.</summary>
/// <param name="weight">[out, in], or [in, out] when transposed; owned.</param>
/// <param name="bias">[out] or null; owned.</param>
/// <param name="transposed">The weight is kept as [in, out], as GPT-2 stores it.</param>
public sealed class DenseLinear(Tensor weight, Tensor? bias, bool transposed) : ILinear
{
    public int InFeatures => (int)weight.size(transposed ? 0 : 1);

    public int OutFeatures => (int)weight.size(transposed ? 1 : 0);

    /// <summary>As stored: [out, in], or [in, out] when transposed.</summary>
    public Tensor Weight => weight;

    public Tensor? Bias => bias;

    /// <summary>The weight is kept as [in, out].</summary>
    internal bool IsTransposed => transposed;

    public Tensor forward(Tensor x)
    {
        if (!transposed)
            return DenseProduct.Apply(x, weight, bias);
        using var turned = weight.t();
        return DenseProduct.Apply(x, turned, bias);
    }

    public IEnumerable<(string Name, Tensor Value)> Parameters()
    {
        yield return ("weight", weight);
        if (bias is not null)
            yield return ("bias", bias);
    }

    public void Dispose()
    {
        weight.Dispose();
        bias?.Dispose();
    }
}
