using Qbb.Cuda;
using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.Alternating;

/// <summary>
/// Alternating refinement of all groups of a weight in one launch, a warp a group (alternating.cu). <see cref="GroupBatch"/> is the plain
/// form: the results are the same up to ties and the last digits.
/// </summary>
internal sealed class FusedGroups
{
    /// <summary>The longest group that the shared memory of a warp holds.</summary>
    public const int MostLength = 4096;

    private const int MostWarps = 4;
    private const int SharedBytes = 48 << 10;
    private readonly Recipe _recipe;
    private readonly Device _device;
    private readonly KernelLoader _loader;

    /// <param name="recipe">Resolved: cascaded init, alternating refinement, at least one round.</param>
    /// <param name="device">Where the weights are.</param>
    /// <param name="loader">Where kernels come from; null for the device's own.</param>
    public FusedGroups(Recipe recipe, Device device, KernelLoader? loader = null) =>
        (_recipe, _device, _loader) = (recipe, device, loader ?? KernelModule.LoadKernel);

    /// <summary>Numbers that the kernel reports of each group.</summary>
    private int Statistics => 1 + 3 * _recipe.Bases;

    /// <summary>Refines a weight. The result belongs to the caller's scope.</summary>
    /// <param name="weight">f32 [out, in], contiguous.</param>
    /// <param name="importance">f64 [in], what an error in each column counts, positive; null for 1 each.</param>
    public FusedResult Refine(Tensor weight, Tensor? importance = null)
    {
        using var scope = torch.NewDisposeScope();
        var (rows, columns) = (weight.size(0), (int)weight.size(1));
        var size = Math.Min(_recipe.Group ?? columns, columns);
        var groups = (columns - 1) / size + 1;
        var count = rows * groups;
        var codes = torch.empty([rows, columns], ScalarType.Byte, _device);
        var alpha = torch.empty([_recipe.Bases, rows, groups], ScalarType.Float16, _device);
        var beta = _recipe.Bias ? torch.empty([rows, groups], ScalarType.Float16, _device) : null;
        var statistics = torch.empty([count, Statistics], ScalarType.Float64, _device);
        var padded = Padded(size);
        var bytes = WarpBytes(padded, importance is not null);
        var warps = Math.Clamp(SharedBytes / bytes, 1, MostWarps);
        var kernel = _loader(Source(padded, importance is not null, warps, bytes), "alternating", _device);
        kernel.Launch(checked((int)((count + warps - 1) / warps)), warps * 32, warps * bytes,
            weight, importance, count, columns, size, groups, _recipe.Rounds!.Value, codes, alpha, beta, statistics);
        return new FusedResult(codes, alpha, beta, statistics.sum([0]).ToArray<double>()).MoveToOuterDisposeScope();
    }

    /// <summary>Codes u8 [out, in] → planes i32 [N, out, ceil(in/32)].</summary>
    public static Tensor Pack(Tensor codes, int bases, KernelLoader? loader = null)
    {
        const int Threads = 256;
        var (rows, columns) = (codes.size(0), (int)codes.size(1));
        var words = (columns + 31) / 32;
        var planes = torch.empty([bases, rows, words], ScalarType.Int32, codes.device);
        var kernel = (loader ?? KernelModule.LoadKernel)(KernelSource.Embedded(typeof(FusedGroups).Assembly, "packing.cu"), "pack", codes.device);
        kernel.Launch(checked((int)((rows * words * 32 + Threads - 1) / Threads)), Threads, 0, codes, planes, rows, columns, words, bases);
        return planes;
    }

    /// <summary>A power of two, 32 at least, that holds a group.</summary>
    private static int Padded(int size) => Math.Max(32, (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)size));

    /// <summary>sizeof(Warp) of the kernel, which checks it.</summary>
    private int WarpBytes(int padded, bool weighted)
    {
        var levels = 1 << _recipe.Bases;
        var teams = 32 / Math.Min(levels, 32);
        var running = 8 * (padded + 1) * (weighted ? 2 : 1);
        return running + 16 * levels * teams + 8 * Starts * (Unknowns + 1) + padded * (4 + 2 + 1);
    }

    private int Unknowns => _recipe.Bases + (_recipe.Bias ? 1 : 0);

    private int Cascade => _recipe.Starts == Recipes.Starts.Uniform ? 0 : 1;

    private int Grids => _recipe.Starts == Recipes.Starts.Greedy ? 0 : 1;

    private int Starts => Cascade + Grids * UniformStart.Clips.Length;

    private KernelSource Source(int padded, bool weighted, int warps, int bytes) => KernelSource.Embedded(
        typeof(FusedGroups).Assembly, ["bases.cu", "alternating.cu"],
        $"-DBASES={_recipe.Bases}", $"-DBIAS={(_recipe.Bias ? 1 : 0)}", $"-DWEIGHTED={(weighted ? 1 : 0)}", $"-DPADDED={padded}",
        $"-DCASCADE={Cascade}", $"-DGRIDS={Grids}", $"-DWARPS={warps}", $"-DWARP_BYTES={bytes}");
}
