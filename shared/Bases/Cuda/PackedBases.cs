namespace Qbb.Bases.Cuda;

/// <summary>Binary bases in the layout of the kernels, on one device.</summary>
/// <param name="Words">As <see cref="FragmentLayout"/> has it.</param>
/// <param name="Scales">As <see cref="FragmentLayout"/> has it.</param>
/// <param name="Count">N.</param>
/// <param name="OutFeatures">Rows.</param>
/// <param name="InFeatures">Columns.</param>
/// <param name="GroupSize">Columns that share a scale.</param>
/// <param name="HasBias">Whether β follows the α.</param>
internal sealed record PackedBases(
    Tensor Words, Tensor Scales, int Count, int OutFeatures, int InFeatures, int GroupSize, bool HasBias) : IDisposable
{
    /// <summary>A group beyond every row.</summary>
    public const int Row = 1 << 30;

    /// <summary>2^e, which the results of kernels are multiplied by.</summary>
    public float Factor { get; init; } = 1;

    public int Groups => (InFeatures - 1) / GroupSize + 1;

    /// <summary>Bytes that one product reads of the weight.</summary>
    public long Bytes => 4 * Words.numel() + 2 * Scales.numel();

    /// <summary>Packs signs i32 [N, out, words] and scales [N, out, groups], [out, groups].</summary>
    public static PackedBases Pack(Tensor planes, Tensor alpha, Tensor? beta, int inFeatures, int groupSize)
    {
        using var off = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        return new(FragmentLayout.PackSigns(planes).DetachFromDisposeScope(), FragmentLayout.PackScales(alpha, beta).DetachFromDisposeScope(),
            (int)planes.size(0), (int)planes.size(1), inFeatures, groupSize, beta is not null);
    }

    /// <summary>The group size as kernels are compiled for it: <see cref="Row"/> where a row has one scale.</summary>
    public int KernelGroup => GroupSize >= InFeatures ? Row : GroupSize;

    /// <summary>The rows of several weights one below the other; null where they differ in kind or a part ends inside a tile.</summary>
    public static PackedBases? Join(IReadOnlyList<PackedBases> parts)
    {
        var first = parts[0];
        foreach (var part in parts)
            if (part.OutFeatures % FragmentLayout.RowsPerTile != 0 || part with { Words = first.Words, Scales = first.Scales, OutFeatures = first.OutFeatures } != first)
                return null;
        using var off = torch.no_grad();
        return first with
        {
            Words = torch.cat([.. parts.Select(part => part.Words)]).DetachFromDisposeScope(),
            Scales = torch.cat([.. parts.Select(part => part.Scales)]).DetachFromDisposeScope(),
            OutFeatures = parts.Sum(part => part.OutFeatures),
        };
    }

    /// <summary>Rows [start, start + count) as a view of the same memory; both are whole tiles.</summary>
    public PackedBases Rows(int start, int count) => this with
    {
        Words = Words.narrow(0, start / FragmentLayout.RowsPerTile, count / FragmentLayout.RowsPerTile).DetachFromDisposeScope(),
        Scales = Scales.narrow(0, start / FragmentLayout.RowsPerTile, count / FragmentLayout.RowsPerTile).DetachFromDisposeScope(),
        OutFeatures = count,
    };

    public void Dispose()
    {
        Words.Dispose();
        Scales.Dispose();
    }
}
