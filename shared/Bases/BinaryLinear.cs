using Qbb.Bases.Cuda;
using Qbb.Models.Decoder;

namespace Qbb.Bases;

/// <summary>
/// y = x Ŵᵀ + b with Ŵ a sum of binary matrices, times 2^e where fp16 alone could not hold the scales. Scales α [N, out, groups] and
/// β [out, groups] (fp32) and signs (<see cref="Planes"/>) can be trained. While no scale requires gradients the product is calculated from the signs (<see cref="IBasesProduct"/>, packed at the first use),
/// so scales must not be changed but by training. Else, and where a device has no such product, the dense weight exists while a product
/// needs it, and is made again for the backward pass.
/// </summary>
public sealed class BinaryLinear : IGraphLinear
{
    private const int RowsAtOnce = 64;

    /// <summary>How many times as large as the dense weight an input must be for the weight to be kept with it until backward.</summary>
    private const int LeastInput = 4;

    private readonly BinaryBases _bases;
    private readonly Lazy<Tensor> _planes;
    private readonly Tensor? _bias;
    private readonly ScalarType _dtype;
    private readonly Lazy<IBasesProduct?> _product;

    /// <param name="bases">Signs, and the scales to start from.</param>
    /// <param name="bias">The layer's own bias [out], or null; owned.</param>
    /// <param name="device">Where the layer works.</param>
    /// <param name="dtype">Type of the product; inputs must have it.</param>
    /// <param name="options">How products are calculated while no scale is trained.</param>
    public BinaryLinear(BinaryBases bases, Tensor? bias, Device device, ScalarType dtype, BasesProductOptions? options = null)
    {
        (_bases, _bias, _dtype) = (bases, bias, dtype);
        _product = new(() => BasesProducts.Create(bases, device, options ?? new()));
        // Only training reads the planes as they are stored; a packed product has its own copy.
        _planes = new(() =>
        {
            using var scope = torch.NewDisposeScope();
            return torch.from_array((int[])(object)bases.Planes, bases.Count, bases.OutFeatures, bases.WordsPerRow).to(device).DetachFromDisposeScope();
        });
        using var scope = torch.NewDisposeScope();
        Alpha = torch.tensor(bases.Alpha, bases.Count, bases.OutFeatures, bases.Groups).to(ScalarType.Float32).to(device).DetachFromDisposeScope();
        Beta = bases.Biases() is { } biases ? torch.tensor(biases, bases.OutFeatures, bases.Groups).to(device).DetachFromDisposeScope() : null;
    }

    public int InFeatures => _bases.InFeatures;

    public int OutFeatures => _bases.OutFeatures;

    /// <summary>Signs, and the scales that it started from.</summary>
    public BinaryBases Bases => _bases;

    /// <summary>Columns that share a scale.</summary>
    public int GroupSize => _bases.GroupSize;

    /// <summary>Signs, i32 [N, out, words], as <see cref="SignPacking"/> lays them out. Whoever trains signs writes here.</summary>
    public Tensor Planes => _planes.Value;

    /// <summary>2^e: <see cref="Alpha"/> and <see cref="Beta"/> are without it.</summary>
    public float Factor => _bases.Factor;

    /// <summary>Whether backward keeps the gradient of the dense weight before the factor 2^e, from which signs are trained.</summary>
    public bool KeepsDenseGradient { get; set; }

    /// <summary>That gradient [out, in], added up since it was last dropped; null for none.</summary>
    public Tensor? DenseGradient { get; private set; }

    /// <summary>α, f32 [N, out, groups].</summary>
    public Tensor Alpha { get; }

    /// <summary>β, f32 [out, groups], or null.</summary>
    public Tensor? Beta { get; }

    /// <inheritdoc/>
    public Tensor forward(Tensor x)
    {
        using var scope = torch.NewDisposeScope();
        // Products of packed signs sum in fp32: for fp64 the weight is expanded.
        var y = Records(x) || Trains || _dtype == ScalarType.Float64 ? Dense(x) : _product.Value?.forward(x) ?? Dense(x);
        return (_bias is null ? y : y + _bias).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public bool CanWrite(int tokens, ScalarType type) => type == _dtype && !Trains && _product.Value is CudaProduct product && product.CanWrite(tokens, type);

    /// <inheritdoc/>
    public void Write(Tensor x, Tensor? addend, Tensor y)
    {
        ((CudaProduct)_product.Value!).Write(x, addend ?? _bias, y);
        if (addend is not null && _bias is not null)
            y.add_(_bias);
    }

    /// <inheritdoc/>
    public bool TryWriteNormed(Tensor x, Tensor weight, double epsilon, bool plusOne, Tensor y) => ((CudaProduct)_product.Value!)
        .TryWrite(plusOne ? CountInput.NormedPlusOne : CountInput.Normed, x, weight, epsilon, _bias, y);

    /// <inheritdoc/>
    public bool TryWriteGated(Tensor x, Tensor? addend, Tensor y) =>
        (addend is null || _bias is null) && ((CudaProduct)_product.Value!).TryWrite(CountInput.Gated, x, null, 0, addend ?? _bias, y);

    /// <inheritdoc/>
    public IGraphLinear? Join(IReadOnlyList<IGraphLinear> others)
    {
        BinaryLinear[] parts = [this, .. others.OfType<BinaryLinear>()];
        if (parts.Length != others.Count + 1 || parts.Any(part => part.Trains || part._bias is null != _bias is null || part._product.Value is not CudaProduct))
            return null;
        return CudaProduct.Join([.. parts.Select(part => (CudaProduct)part._product.Value!)]) is { } joined
            ? new PackedLinear(joined, _bias is null ? null : torch.cat([.. parts.Select(part => part._bias!)]).DetachFromDisposeScope(), _dtype)
            : null;
    }

    public IEnumerable<(string Name, Tensor Value)> Parameters()
    {
        yield return ("alpha", Alpha);
        if (Beta is not null)
            yield return ("beta", Beta);
        if (_bias is not null)
            yield return ("bias", _bias);
    }

    /// <summary>Ŵ [out, in] from the scales as they are now; without gradients.</summary>
    public Tensor Weight()
    {
        var sum = Sum();
        return Factor == 1 ? sum : sum.mul_(Factor);
    }

    /// <summary>Ŵ without the factor 2^e.</summary>
    private Tensor Sum()
    {
        using var off = torch.no_grad();
        if (Alpha.device_type == DeviceType.CPU)
            return ExpandOnCpu();
        return DenseWeightKernels.Serve(Alpha, _dtype) ? DenseWeightKernels.Expand(_bases, _planes.Value, Alpha, Beta, _dtype) : ReferenceSum(_dtype);
    }

    /// <summary>The <see cref="DenseGradient"/>, which the layer gives up: the caller disposes it.</summary>
    public Tensor? TakeDenseGradient()
    {
        var taken = DenseGradient;
        DenseGradient = null;
        return taken;
    }

    public void DropDenseGradient() => TakeDenseGradient()?.Dispose();

    public void Dispose()
    {
        DropDenseGradient();
        if (_planes.IsValueCreated)
            _planes.Value.Dispose();
        Alpha.Dispose();
        Beta?.Dispose();
        _bias?.Dispose();
        if (_product.IsValueCreated)
            _product.Value?.Dispose();
    }

    private bool Trains => Alpha.requires_grad || Beta is { requires_grad: true };

    private bool Records(Tensor x) => torch.is_grad_enabled() && (x.requires_grad || Trains);

    private Tensor Dense(Tensor x)
    {
        Tensor y, weight;
        using (torch.no_grad())
        {
            weight = Sum();
            y = torch.nn.functional.linear(x, weight);
        }
        Record(x, y, weight);
        return Factor == 1 ? y : y * Factor;
    }

    // dx = g Ŵ; with G = gᵀ x [out, in], the gradient of a dense weight: dα_i = Σ over the group of B_i ⊙ G, dβ = Σ over the group of G.
    private void Record(Tensor x, Tensor y, Tensor weight)
    {
        if (!Records(x))
            return;
        var (wantsX, wantsAlpha, wantsBeta) = (x.requires_grad, Alpha.requires_grad, Beta is { requires_grad: true });
        // The weight is made again, unless it is small beside the input that is kept.
        var (saved, kept) = (Gradients.Save(x), wantsX && x.numel() > LeastInput * weight.numel() ? Gradients.Save(weight) : null);
        Tensor[] inputs = Beta is null ? [x, Alpha] : [x, Alpha, Beta];
        Gradients.Record(inputs, [y], gradients =>
        {
            var g = gradients[0]!;
            var result = new Tensor?[inputs.Length];
            if (wantsX)
                result[0] = torch.matmul(g, kept ?? Sum());
            if (!wantsAlpha && !wantsBeta)
                return result;
            var dense = torch.matmul(g.reshape(-1, OutFeatures).t(), saved.reshape(-1, InFeatures));
            if (KeepsDenseGradient)
                AddDenseGradient(dense);
            var (alpha, beta) = DenseWeightKernels.Serve(Alpha, dense.dtype)
                ? DenseWeightKernels.Reduce(_bases, _planes.Value, dense, wantsBeta)
                : ReferenceGradients(dense, wantsAlpha, wantsBeta);
            if (wantsAlpha)
                result[1] = alpha;
            if (wantsBeta)
                result[2] = beta;
            return result;
        }, kept is null ? [saved] : [saved, kept]);
    }

    private void AddDenseGradient(Tensor dense)
    {
        if (DenseGradient is null)
            DenseGradient = Gradients.Save(dense);
        else
            DenseGradient.add_(dense);
    }

    /// <summary>From the gradient of a dense weight [out, in] to those of α and β.</summary>
    internal (Tensor? Alpha, Tensor? Beta) ReferenceGradients(Tensor dense, bool wantsAlpha, bool wantsBeta)
    {
        using var scope = torch.NewDisposeScope();
        var wide = dense.to(ScalarType.Float32);
        Tensor? alpha = null;
        if (wantsAlpha)
            alpha = torch.stack([.. Enumerable.Range(0, _bases.Count).Select(i => SumGroups(wide * Signs(i, ScalarType.Float32)))]);
        return (alpha?.MoveToOuterDisposeScope(), wantsBeta ? SumGroups(wide).MoveToOuterDisposeScope() : null);
    }

    /// <summary>[out, in] → [out, groups].</summary>
    private Tensor SumGroups(Tensor dense)
    {
        var padding = _bases.Groups * (long)_bases.GroupSize - InFeatures;
        var padded = padding == 0 ? dense : torch.nn.functional.pad(dense, [0, padding]);
        return padded.view(OutFeatures, _bases.Groups, _bases.GroupSize).sum(2);
    }

    /// <summary>B_i as −1 and +1, [out, in].</summary>
    private Tensor Signs(int basis, ScalarType type)
    {
        var shifts = torch.arange(0, 32, 1, ScalarType.Int32, Alpha.device);
        var bits = _planes.Value.select(0, basis).unsqueeze(2).bitwise_right_shift(shifts).bitwise_and(1);
        return bits.view(OutFeatures, -1).narrow(1, 0, InFeatures).to(type).mul_(2).sub_(1);
    }

    /// <summary><see cref="Weight"/> by tensor operations, on any device, in the layer's type or another.</summary>
    public Tensor ReferenceWeight(ScalarType? type = null)
    {
        using var off = torch.no_grad();
        return ReferenceSum(type ?? _dtype).mul_(Factor);
    }

    private Tensor ReferenceSum(ScalarType type)
    {
        using var scope = torch.NewDisposeScope();
        var sum = Beta is null ? torch.zeros([OutFeatures, InFeatures], ScalarType.Float32, Alpha.device) : Spread(Beta).contiguous();
        for (var i = 0; i < _bases.Count; i++)
            using (torch.NewDisposeScope())
                sum.addcmul_(Signs(i, ScalarType.Float32), Spread(Alpha.select(0, i)), 1);
        return sum.to(type).MoveToOuterDisposeScope();
    }

    /// <summary>[out, groups] → [out, in].</summary>
    private Tensor Spread(Tensor scales) => scales.repeat_interleave(_bases.GroupSize, 1).narrow(1, 0, InFeatures);

    private Tensor ExpandOnCpu()
    {
        using var scope = torch.NewDisposeScope();
        var weight = torch.empty([OutFeatures, InFeatures]);
        Parallel.For(0, (OutFeatures + RowsAtOnce - 1) / RowsAtOnce, block =>
        {
            var first = block * RowsAtOnce;
            var rows = Math.Min(RowsAtOnce, OutFeatures - first);
            BasesExpansion.Expand(_bases, Alpha.AsSpan<float>(), Beta is null ? [] : Beta.AsSpan<float>(), first, rows,
                weight.AsSpan<float>().Slice(first * InFeatures, rows * InFeatures));
        });
        return weight.to(_dtype).MoveToOuterDisposeScope();
    }
}
