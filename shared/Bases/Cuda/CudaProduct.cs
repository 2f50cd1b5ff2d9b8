using Qbb.Cuda;

namespace Qbb.Bases.Cuda;

/// <summary>
/// The product on a GPU: bits counted for one or two tokens, for up to 64 a sparse product whose places are the signs, for more a dense product with
/// tiles that are expanded on the fly.
/// </summary>
internal sealed class CudaProduct : IBasesProduct
{
    /// <summary>Up to here counting is the fastest.</summary>
    private const int MostCounted = 2;

    /// <summary>Up to here several sparse products are faster than expanding the weight.</summary>
    private const int MostSelected = 64;

    /// <summary>Elements of a tile: it stays small beside the weight, and large enough for the matrix product to be efficient.</summary>
    private const long TileElements = 64L << 20;

    private PackedBases _weight;

    public CudaProduct(PackedBases weight) => _weight = weight;

    /// <summary>The packed weight.</summary>
    public PackedBases Weight => _weight;

    /// <summary>Packs a weight on a device.</summary>
    public static CudaProduct Of(BinaryBases bases, Device device)
    {
        using var scope = torch.NewDisposeScope();
        var planes = torch.from_array((int[])(object)bases.Planes, bases.Count, bases.OutFeatures, bases.WordsPerRow).to(device);
        var alpha = torch.tensor(bases.Alpha, bases.Count, bases.OutFeatures, bases.Groups).to(device);
        var beta = bases.Biases() is { } biases ? torch.tensor(biases, bases.OutFeatures, bases.Groups).to(ScalarType.Float16).to(device) : null;
        return Ready(PackedBases.Pack(planes, alpha, beta, bases.InFeatures, bases.GroupSize) with { Factor = bases.Factor });
    }

    /// <summary>Whether the kernels know groups of this size, and a compiler is there for them.</summary>
    public static bool Supports(int groupSize, int inFeatures) => SelectShape.Supports(groupSize, inFeatures) && Nvrtc.IsAvailable();

    /// <inheritdoc/>
    public Tensor forward(Tensor x)
    {
        using var scope = torch.NewDisposeScope();
        if (x.size(-1) != _weight.InFeatures)
            throw new ArgumentException($"{x.Describe()} does not fit a weight of {_weight.OutFeatures} × {_weight.InFeatures}");
        var tokens = (int)(x.numel() / x.size(-1));
        var input = x.detach().contiguous().view(tokens, _weight.InFeatures);
        var y = torch.empty([tokens, _weight.OutFeatures], x.dtype, x.device);
        if (!Serves(tokens, x.dtype))
            Expand(input, y, Scratch(x.dtype));
        else
            Write(input, null, y);
        if (_weight.Factor != 1)
            y.mul_(_weight.Factor);
        return y.view([.. x.shape[..^1], _weight.OutFeatures]).MoveToOuterDisposeScope();
    }

    /// <summary>Whether <see cref="Write"/> can be used, which knows no factor 2^e.</summary>
    public bool CanWrite(int tokens, ScalarType type) => _weight.Factor == 1 && Serves(tokens, type);

    private bool Serves(int tokens, ScalarType type) => tokens is >= 1 and <= MostSelected && type is ScalarType.Float16 or ScalarType.BFloat16
        && (Counts(tokens) || SelectProduct.Serves(_weight.Words.device));

    /// <summary>y = x Ŵᵀ + addend without memory of its own.</summary>
    /// <param name="x">f16 or bf16 [tokens, in]</param>
    /// <param name="addend">[tokens, out], [out] or null.</param>
    /// <param name="y">[tokens, out]</param>
    public void Write(Tensor x, Tensor? addend, Tensor y)
    {
        var tokens = (int)x.size(0);
        if (Counts(tokens))
        {
            CountProduct.Run(_weight, x, addend, y);
            return;
        }
        using var scope = torch.NewDisposeScope();
        var most = SelectProduct.MostTokens(x.device);
        for (var first = 0; first < tokens; first += most)
        {
            var count = Math.Min(most, tokens - first);
            var (some, result) = (x.narrow(0, first, count), y.narrow(0, first, count));
            var added = addend is { } all && all.dim() == 2 ? all.narrow(0, first, count) : addend;
            SelectProduct.Run(_weight, some, added, result);
        }
    }

    /// <summary>y = f(x) Ŵᵀ + addend in one kernel; false, and nothing done, where none does it.</summary>
    /// <param name="input">f.</param>
    /// <param name="x">As <see cref="CountProduct.Run"/> has it.</param>
    /// <param name="norm">Weight of a norm, or null.</param>
    /// <param name="epsilon">Of a norm.</param>
    /// <param name="addend">[tokens, out], [out] or null.</param>
    /// <param name="y">[tokens, out]</param>
    public bool TryWrite(CountInput input, Tensor x, Tensor? norm, double epsilon, Tensor? addend, Tensor y)
    {
        var tokens = (int)x.size(0);
        if (!Counts(tokens))
            return false;
        CountProduct.Run(_weight, x, addend, y, CountProduct.ShapeFor(_weight, tokens, x.dtype == ScalarType.BFloat16, input), norm, epsilon);
        return true;
    }

    /// <summary>Memory for <see cref="Expand"/>: as many tiles of Ŵ as are expanded at a time.</summary>
    public Tensor Scratch(ScalarType type) =>
        torch.empty([16L * TilesAtOnce, _weight.InFeatures], type, _weight.Words.device);

    /// <summary>y = x Ŵᵀ with the rows of Ŵ expanded some thousand at a time.</summary>
    /// <param name="x">[tokens, in]</param>
    /// <param name="y">[tokens, out]</param>
    /// <param name="scratch">Of <see cref="Scratch"/>.</param>
    public void Expand(Tensor x, Tensor y, Tensor scratch)
    {
        var tiles = FragmentLayout.Tiles(_weight.OutFeatures);
        for (var first = 0; first < tiles; first += TilesAtOnce)
        {
            using var scope = torch.NewDisposeScope();
            var rows = Math.Min(16 * TilesAtOnce, _weight.OutFeatures - 16 * first);
            Expansion.Run(_weight, first, (rows + 15) / 16, scratch);
            torch.mm_out(x, scratch.narrow(0, 0, rows).t(), y.narrow(1, 16L * first, rows));
        }
    }

    /// <summary>One product with the rows of several, which from then on work on its memory; null where they do not go together.</summary>
    public static CudaProduct? Join(IReadOnlyList<CudaProduct> parts)
    {
        if (PackedBases.Join([.. parts.Select(part => part._weight)]) is not { } joined)
            return null;
        var first = 0;
        foreach (var part in parts)
        {
            var view = joined.Rows(first, part._weight.OutFeatures);
            part._weight.Dispose();
            part._weight = view;
            first += view.OutFeatures;
        }
        return Ready(joined);
    }

    // Kernels fetch signs before they wait for the kernel before them, which must not be the one that packs.
    private static CudaProduct Ready(PackedBases weight)
    {
        torch.cuda.synchronize(weight.Words.device);
        return new CudaProduct(weight);
    }

    /// <inheritdoc/>
    public void Dispose() => _weight.Dispose();

    private bool Counts(int tokens) => tokens <= MostCounted && CountProduct.Supports(_weight, tokens);

    private int TilesAtOnce => (int)Math.Clamp(TileElements / (16L * _weight.InFeatures), 1, FragmentLayout.Tiles(_weight.OutFeatures));
}
