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
internal sealed record PackedBases(Tensor Words, Tensor Scales, int Count, int OutFeatures, int InFeatures, int GroupSize, bool HasBias) : IDisposable
{
    public int Groups => (InFeatures - 1) / GroupSize + 1;

    /// <summary>Bytes that one product reads of the weight.</summary>
    public long Bytes => 4 * Words.numel() + 2 * Scales.numel();

    /// <summary>Packs signs i32 [N, out, words] and scales [N, out, groups], [out, groups].</summary>
    public static PackedBases Pack(Tensor planes, Tensor alpha, Tensor? beta, int inFeatures, int groupSize)
    {
        using var off = torch.no_grad();
        return new(FragmentLayout.PackSigns(planes).DetachFromDisposeScope(), FragmentLayout.PackScales(alpha, beta).DetachFromDisposeScope(),
            (int)planes.size(0), (int)planes.size(1), inFeatures, groupSize, beta is not null);
    }

    public void Dispose()
    {
        Words.Dispose();
        Scales.Dispose();
    }
}
