using Qbb.Models.Decoder;

namespace Qbb.Bases.Cuda;

/// <summary>A linear layer that has nothing but the packed form of its weight on a GPU; it cannot be trained.</summary>
/// <param name="product">Owned.</param>
/// <param name="bias">[out] or null; owned.</param>
/// <param name="dtype">f16 or bf16, the type of inputs and results.</param>
internal sealed class PackedLinear(CudaProduct product, Tensor? bias, ScalarType dtype) : IGraphLinear
{
    public int InFeatures => product.Weight.InFeatures;

    public int OutFeatures => product.Weight.OutFeatures;

    /// <inheritdoc/>
    public Tensor forward(Tensor x)
    {
        using var scope = torch.NewDisposeScope();
        var y = product.forward(x);
        return (bias is null ? y : y + bias).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public bool CanWrite(int tokens, ScalarType type) => type == dtype && product.CanWrite(tokens, type);

    /// <inheritdoc/>
    public void Write(Tensor x, Tensor? addend, Tensor y)
    {
        product.Write(x, addend ?? bias, y);
        if (addend is not null && bias is not null)
            y.add_(bias);
    }

    /// <inheritdoc/>
    public bool TryWriteNormed(Tensor x, Tensor weight, double epsilon, bool plusOne, Tensor y) =>
        product.TryWrite(plusOne ? CountInput.NormedPlusOne : CountInput.Normed, x, weight, epsilon, bias, y);

    /// <inheritdoc/>
    public bool TryWriteGated(Tensor x, Tensor? addend, Tensor y) =>
        (addend is null || bias is null) && product.TryWrite(CountInput.Gated, x, null, 0, addend ?? bias, y);

    /// <inheritdoc/>
    public IGraphLinear? Join(IReadOnlyList<IGraphLinear> others)
    {
        PackedLinear[] parts = [this, .. others.OfType<PackedLinear>()];
        if (parts.Length != others.Count + 1 || bias is not null || parts.Any(part => part.HasBias))
            return null;
        return CudaProduct.Join([.. parts.Select(part => part.Product)]) is { } joined ? new PackedLinear(joined, null, dtype) : null;
    }

    public IEnumerable<(string Name, Tensor Value)> Parameters() => [];

    public void Dispose()
    {
        product.Dispose();
        bias?.Dispose();
    }

    private CudaProduct Product => product;

    private bool HasBias => bias is not null;
}
