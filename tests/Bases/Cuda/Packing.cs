using Qbb.Bases.Cuda;

namespace Qbb.Bases.Tests.Cuda;

internal static class Packing
{
    /// <summary>The arrays of binary bases as tensors of the CPU.</summary>
    public static (Tensor Planes, Tensor Alpha, Tensor? Beta) Tensors(BinaryBases bases) => (
        torch.from_array((int[])(object)bases.Planes, bases.Count, bases.OutFeatures, bases.WordsPerRow),
        torch.tensor(bases.Alpha, bases.Count, bases.OutFeatures, bases.Groups),
        bases.Beta is null ? null : torch.tensor(bases.Beta, bases.OutFeatures, bases.Groups));

    public static PackedBases Pack(BinaryBases bases, Device device)
    {
        using var scope = NewDisposeScope();
        var (planes, alpha, beta) = Tensors(bases);
        return PackedBases.Pack(planes.to(device), alpha.to(device), beta?.to(device), bases.InFeatures, bases.GroupSize);
    }
}
