namespace Qbb.Models.Decoder;

/// <summary>
/// Plain layers that read the same input, with their weights under one another, so that one product serves all: on a GPU the products of a
/// few hundred rows are too small to fill it one by one. Without gradients only, for theirs would be put together from parts.
/// </summary>
internal sealed class StackedLinears : IDisposable
{
    private readonly (LinearRole Role, ILinear Linear)[] _parts;
    private readonly Tensor _weight;
    private readonly Tensor? _bias;

    private StackedLinears((LinearRole Role, ILinear Linear)[] parts, Tensor weight, Tensor? bias) =>
        (_parts, _weight, _bias) = (parts, weight, bias);

    /// <summary>Stacks the layers of some roles where that makes them faster: on a GPU.</summary>
    public static StackedLinears? Of(Dictionary<LinearRole, ILinear> linears, params LinearRole[] roles) =>
        linears.GetValueOrDefault(roles[0]) is DenseLinear { Weight.device_type: DeviceType.CUDA } ? Stack(linears, roles) : null;

    /// <summary>Puts layers that share memory in place of those of some roles; null where they are not alike.</summary>
    internal static StackedLinears? Stack(Dictionary<LinearRole, ILinear> linears, params LinearRole[] roles)
    {
        var dense = roles.Select(role => linears.GetValueOrDefault(role) as DenseLinear).OfType<DenseLinear>().ToArray();
        if (dense.Length < roles.Length || dense.Any(linear => linear.IsTransposed)
            || dense.Select(linear => linear.Bias is null).Distinct().Count() > 1)
            return null;
        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        var weight = torch.cat([.. dense.Select(linear => linear.Weight)]).DetachFromDisposeScope();
        var bias = dense[0].Bias is null ? null : torch.cat([.. dense.Select(linear => linear.Bias!)]).DetachFromDisposeScope();
        var first = 0L;
        for (var k = 0; k < roles.Length; k++)
        {
            var rows = dense[k].OutFeatures;
            linears[roles[k]] = new DenseLinear(
                weight.narrow(0, first, rows).DetachFromDisposeScope(), bias?.narrow(0, first, rows).DetachFromDisposeScope(), transposed: false);
            dense[k].Dispose();
            first += rows;
        }
        return new StackedLinears([.. roles.Select(role => (role, linears[role]))], weight, bias);
    }

    /// <summary>The results of all layers, as views of one; null where gradients are recorded or a layer was exchanged since.</summary>
    /// <param name="x">[…, in]</param>
    /// <param name="linears">The block's layers as they are now.</param>
    public Tensor[]? TryForward(Tensor x, Dictionary<LinearRole, ILinear> linears)
    {
        if (torch.is_grad_enabled() || _parts.Any(part => !ReferenceEquals(linears[part.Role], part.Linear)))
            return null;
        var all = torch.nn.functional.linear(x, _weight, _bias);
        return all.split([.. _parts.Select(part => (long)part.Linear.OutFeatures)], -1);
    }

    public void Dispose()
    {
        _weight.Dispose();
        _bias?.Dispose();
    }
}
