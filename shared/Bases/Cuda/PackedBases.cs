using Qbb.Torch;

namespace Qbb.Bases.Cuda;

/// <summary>Binary bases in the layout of the kernels, on one device.</summary>
/// <param name="Words">As <see cref="FragmentLayout"/> has it.</param>
/// <param name="Scales">As <see cref="FragmentLayout"/> has it.</param>
/// <param name="Count">N.</param>
/// <param name="OutFeatures">Rows.</param>
/// <param name="InFeatures">Columns.</param>
/// <param name="GroupSize">Columns that share a scale.</param>
/// <param name="HasBias">Whether β follows the α.</param>
/// <param name="Up">The power of two that makes twice the scales of any group add up to between 2¹³ and 2¹⁴, or of most of them where parts were
/// joined.</param>
internal sealed record PackedBases(
    Tensor Words, Tensor Scales, int Count, int OutFeatures, int InFeatures, int GroupSize, bool HasBias, float Up) : IDisposable
{
    private const int UpExponent = 14;

    // Keeps its inverse, and products with scales that are halves, in fp32.
    private const int MostUpExponent = 60;

    public int Groups => (InFeatures - 1) / GroupSize + 1;

    /// <summary>Bytes that one product reads of the weight.</summary>
    public long Bytes => 4 * Words.numel() + 2 * Scales.numel();

    /// <summary>Packs signs i32 [N, out, words] and scales [N, out, groups], [out, groups].</summary>
    public static PackedBases Pack(Tensor planes, Tensor alpha, Tensor? beta, int inFeatures, int groupSize)
    {
        using var off = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        return new(FragmentLayout.PackSigns(planes).DetachFromDisposeScope(), FragmentLayout.PackScales(alpha, beta).DetachFromDisposeScope(),
            (int)planes.size(0), (int)planes.size(1), inFeatures, groupSize, beta is not null, UpFor(alpha.to(ScalarType.Float32).abs().sum(0).max().item()));
    }

    /// <param name="most">The largest sum of a group's scales, each without its sign.</param>
    public static float UpFor(double most) =>
        // Where all scales are 0 any will do.
        (float)Math.ScaleB(1, Math.Clamp(UpExponent - (most > 0 ? Math.ILogB(2 * most) + 1 : 0), -MostUpExponent, MostUpExponent));

    /// <summary>The group size as kernels are compiled for it: <see cref="TableShape.Row"/> where a row has one scale.</summary>
    public int KernelGroup => GroupSize >= InFeatures ? TableShape.Row : GroupSize;

    /// <summary>The rows of several weights one below the other; null where they differ in kind or a part ends inside a tile.</summary>
    public static PackedBases? Join(IReadOnlyList<PackedBases> parts)
    {
        var first = parts[0];
        foreach (var part in parts)
            if (part.OutFeatures % FragmentLayout.RowsPerTile != 0 || part with { Words = first.Words, Scales = first.Scales, OutFeatures = first.OutFeatures, Up = first.Up } != first)
                return null;
        using var off = torch.no_grad();
        return first with
        {
            Words = torch.cat([.. parts.Select(part => part.Words)]).DetachFromDisposeScope(),
            Scales = torch.cat([.. parts.Select(part => part.Scales)]).DetachFromDisposeScope(),
            OutFeatures = parts.Sum(part => part.OutFeatures),
            Up = parts.Min(part => part.Up),
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
