using Qbb.Cuda;

namespace Qbb.Bases;

/// <summary>
/// bases.cu: dense weights from bases, and the gradients of scales from that of a dense weight, in one pass each. The plain forms are
/// <see cref="BinaryLinear.ReferenceWeight"/> and <see cref="BinaryLinear.ReferenceGradients"/>.
/// </summary>
internal static class DenseWeightKernels
{
    private const int Threads = 256;
    private const int Columns = 8;

    internal static readonly ElementKernels All = new(typeof(DenseWeightKernels).Assembly, "bases.cu");

    /// <summary>Whether the kernels can make or read dense weights of a type.</summary>
    public static bool Serve(Tensor alpha, ScalarType dense) => ElementKernels.Serve(alpha) && dense != ScalarType.Float64;

    /// <param name="bases">Gives the sizes.</param>
    /// <param name="planes">i32 [N, out, words]</param>
    /// <param name="alpha">f32 [N, out, groups]</param>
    /// <param name="beta">f32 [out, groups] or null.</param>
    /// <param name="type">Of the weight.</param>
    /// <returns>[out, in]</returns>
    public static Tensor Expand(BinaryBases bases, Tensor planes, Tensor alpha, Tensor? beta, ScalarType type)
    {
        var weight = torch.empty([bases.OutFeatures, bases.InFeatures], type, alpha.device);
        var units = (long)bases.OutFeatures * ((bases.InFeatures + Columns - 1) / Columns);
        Named("expand", bases, weight).Launch(
            checked((int)((units + Threads - 1) / Threads)), Threads, 0,
            planes, alpha, beta, weight, bases.OutFeatures, bases.InFeatures, bases.WordsPerRow, bases.GroupSize, bases.Groups, units);
        return weight;
    }

    /// <param name="bases">Gives the sizes.</param>
    /// <param name="planes">i32 [N, out, words]</param>
    /// <param name="dense">Gradient of the dense weight, [out, in].</param>
    /// <param name="wantsBeta">Whether the weight has a bias per group that is trained.</param>
    /// <returns>f32 [N, out, groups] and [out, groups] or null.</returns>
    public static (Tensor Alpha, Tensor? Beta) Reduce(BinaryBases bases, Tensor planes, Tensor dense, bool wantsBeta)
    {
        long rows = bases.OutFeatures, groups = bases.Groups;
        var alpha = torch.empty([bases.Count, rows, groups], ScalarType.Float32, dense.device);
        var beta = wantsBeta ? torch.empty([rows, groups], ScalarType.Float32, dense.device) : null;
        const int perBlock = Threads / 32;
        Named("reduce", bases, dense).Launch(
            checked((int)((rows * groups + perBlock - 1) / perBlock)), Threads, 0,
            planes, dense, alpha, beta, bases.OutFeatures, bases.InFeatures, bases.WordsPerRow, bases.GroupSize, bases.Groups);
        return (alpha, beta);
    }

    private static Kernel Named(string name, BinaryBases bases, Tensor like) => All.For(like, $"-DBASES={bases.Count}")[name];
}
