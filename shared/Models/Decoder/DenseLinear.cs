namespace Qbb.Models.Decoder;

/// <summary>A linear layer with plain weights.</summary>
/// <param name="weight">[out, in], or [in, out] when transposed; owned.</param>
/// <param name="bias">[out] or null; owned.</param>
/// <param name="transposed">The weight is kept as [in, out], as GPT-2 stores it.</param>
public sealed class DenseLinear(Tensor weight, Tensor? bias, bool transposed) : IGraphLinear
{

    public int InFeatures => (int)weight.size(transposed ? 0 : 1);

    public int OutFeatures => (int)weight.size(transposed ? 1 : 0);

    /// <summary>As stored: [out, in], or [in, out] when transposed.</summary>
    public Tensor Weight => weight;

    /// <summary>A view of the weight as [out, in].</summary>
    public Tensor Matrix => transposed ? weight.t() : weight.view(weight.shape);

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

    /// <inheritdoc/>
    public bool CanWrite(int tokens, ScalarType type) => weight.device_type == DeviceType.CUDA && weight.dtype == type;

    /// <inheritdoc/>
    public void Write(Tensor x, Tensor? addend, Tensor y)
    {
        using var scope = torch.NewDisposeScope();
        var turned = transposed ? weight : weight.t();
        if (addend is null)
        {
            torch.mm_out(x, turned, y);
        }
        else
        {
            // The residual stream is its own addend. A vector as addend would send libtorch to a library that takes memory of its own.
            if (addend.Handle != y.Handle)
                y.copy_(addend);
            y.addmm_(x, turned);
        }
        if (bias is not null)
            y.add_(bias);
    }

    /// <inheritdoc/>
    public IGraphLinear? Join(IReadOnlyList<IGraphLinear> others)
    {
        DenseLinear[] parts = [this, .. others.OfType<DenseLinear>()];
        if (parts.Length != others.Count + 1 || parts.Any(part => part.IsTransposed || part.Bias is null != bias is null || part.InFeatures != InFeatures))
            return null;
        using var off = torch.no_grad();
        var joined = torch.cat([.. parts.Select(part => part.Weight)]).DetachFromDisposeScope();
        var biases = bias is null ? null : torch.cat([.. parts.Select(part => part.Bias!)]).DetachFromDisposeScope();
        var first = 0L;
        foreach (var part in parts)
        {
            part.MoveTo(joined.narrow(0, first, part.OutFeatures).DetachFromDisposeScope());
            first += part.OutFeatures;
        }
        return new DenseLinear(joined, biases, false);
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

    private void MoveTo(Tensor view)
    {
        weight.Dispose();
        weight = view;
    }
}
