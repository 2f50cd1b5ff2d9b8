namespace Qbb.Bases.Cpu;

/// <summary>The product on the CPU: table lookups for few tokens, a dense product with tiles expanded on the fly for many.</summary>
public sealed class CpuProduct : IBasesProduct
{
    private readonly PackedBases _packed;
    private readonly LookupProduct _lookup;
    private readonly BasesProductOptions _options;
    private readonly long _mostLookups;
    private readonly float _factor;

    /// <summary>Packs the weight for the kernels; the bases are not kept.</summary>
    public CpuProduct(BinaryBases bases, BasesProductOptions options)
    {
        var instructions = options.Instructions ?? CpuKernels.Best;
        if (!CpuKernels.IsSupported(instructions))
            throw new PlatformNotSupportedException($"this processor has no {instructions}");
        _options = options;
        _factor = bases.Factor;
        _packed = PackedBases.Pack(bases);
        _lookup = new LookupProduct(_packed, instructions, options.Integer);
        _mostLookups = CpuCrossover.MostLookups(instructions, bases.Count);
    }

    /// <summary>Bytes of packed signs and scales, all of which a product of one token reads.</summary>
    public long Bytes => _packed.Bytes;

    /// <inheritdoc/>
    public Tensor forward(Tensor x)
    {
        if (x.size(-1) != _packed.Layout.InFeatures)
            throw new ArgumentException($"{x.Describe()} does not fit a weight of {_packed.Layout.OutFeatures} × {_packed.Layout.InFeatures}");
        return x.numel() / x.size(-1) <= _mostLookups ? Lookup(x) : Expand(x);
    }

    private int Threads => _options.Threads ?? torch.get_num_threads();

    /// <summary>By table lookups, however many tokens there are.</summary>
    internal unsafe Tensor Lookup(Tensor x)
    {
        using var scope = torch.NewDisposeScope();
        var input = x.detach().to(ScalarType.Float32).contiguous();
        var y = torch.empty([.. x.shape[..^1], _packed.Layout.OutFeatures]);
        fixed (float* from = input.AsSpan<float>(), to = y.AsSpan<float>())
            _lookup.Multiply(from, to, x.numel() / x.size(-1), Threads);
        return Scaled(y).to(x.dtype).MoveToOuterDisposeScope();
    }

    /// <summary>By expanding tiles, however few tokens there are.</summary>
    internal Tensor Expand(Tensor x)
    {
        using var scope = torch.NewDisposeScope();
        var input = x.detach().to(ScalarType.Float32).contiguous().view(-1, _packed.Layout.InFeatures);
        if (_options.Integer is not null)
            input = _lookup.Rounded(input);
        var y = TileExpansion.Multiply(_packed, input, Threads);
        return Scaled(y).view([.. x.shape[..^1], _packed.Layout.OutFeatures]).to(x.dtype).MoveToOuterDisposeScope();
    }

    private Tensor Scaled(Tensor y) => _factor == 1 ? y : y.mul_(_factor);

    /// <inheritdoc/>
    public void Dispose() => _packed.Dispose();
}
