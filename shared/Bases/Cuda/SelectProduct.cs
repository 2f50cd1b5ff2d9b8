using System.Collections.Concurrent;
using Qbb.Cuda;

namespace Qbb.Bases.Cuda;

/// <summary>Launches select.cu.</summary>
internal static class SelectProduct
{
    private const int MostStages = 5;
    private const int WarpsOfTeam = 4;

    // What select.cu wants of the instructions was measured to be so, not described: a device that does otherwise differs in every result.
    private const double MostError = 1e-2;

    // Up to 8 tokens: with more planes, warps that multiply alone are ahead.
    private const int MostPlanesWide = 2;

    private static readonly ConcurrentDictionary<int, Lazy<bool>> s_serves = [];

    /// <summary>Most tokens of one product on a device.</summary>
    public static int MostTokens(Device device) => IsHopper(device) ? 32 : 16;

    /// <summary>The shape that serves a weight and a number of tokens.</summary>
    /// <param name="weight">Ŵ.</param>
    /// <param name="tokens">Rows of x.</param>
    /// <param name="bfloat">x is bf16.</param>
    /// <param name="wide">Four warps multiply together.</param>
    /// <param name="cluster">Blocks that share rows.</param>
    /// <param name="memory">Of the device; that of the weight's where null.</param>
    public static SelectShape ShapeFor(PackedBases weight, int tokens, bool bfloat, bool wide, int cluster, SharedMemory? memory = null)
    {
        var most = (memory ?? SharedMemory.Of(weight.Words.device)).PerBlock;
        var shape = new SelectShape(weight.Count, weight.HasBias, tokens <= 8 ? 8 : tokens <= 16 ? 16 : 32, weight.KernelGroup, bfloat, wide,
            Warps: wide ? 16 : 8, Stages: 2, Slab: 1, Runs: wide ? 3 : 5, cluster);
        while (shape.SharedBytes > most && shape.Warps > (wide ? WarpsOfTeam : 1))
            shape = shape with { Warps = shape.Warps / 2 };
        // As few slabs as there is room for, all alike; then as many stages as are left room for.
        var steps = (FragmentLayout.Steps(weight.InFeatures) + shape.Cluster - 1) / shape.Cluster;
        var slab = 1;
        while (slab < steps && (shape with { Slab = slab + 1 }).SharedBytes <= most)
            slab++;
        var slabs = (steps + slab - 1) / slab;
        shape = shape with { Slab = (steps + slabs - 1) / slabs };
        while (shape.Stages < MostStages && (shape with { Stages = shape.Stages + 1 }).SharedBytes <= most)
            shape = shape with { Stages = shape.Stages + 1 };
        return shape;
    }

    /// <summary>Whether the kernel can do it.</summary>
    public static bool Supports(PackedBases weight, int tokens) =>
        tokens >= 1 && tokens <= MostTokens(weight.Words.device) && SelectShape.Supports(weight.GroupSize, weight.InFeatures) && Serves(weight.Words.device);

    /// <summary>Whether a device selects as the kernel wants it: found out once, by a product whose result is known.</summary>
    public static bool Serves(Device device) => s_serves.GetOrAdd(Math.Max(device.index, 0), _ => new(() => Selects(device))).Value;

    /// <summary>y = x Ŵᵀ (+ addend), queued on the current stream; arguments as those of <see cref="CountProduct.Run"/>.</summary>
    public static void Run(PackedBases weight, Tensor x, Tensor? addend, Tensor y, SelectShape? shape = null)
    {
        var tokens = (int)x.size(0);
        var hopper = IsHopper(x.device);
        shape ??= ShapeFor(weight, tokens, x.dtype == ScalarType.BFloat16, hopper && (tokens > 8 || weight.Count <= MostPlanesWide), hopper ? 2 : 1);
        var module = KernelModule.Load(shape.Source, x.device);
        var clusters = Math.Min(FragmentLayout.Tiles(weight.OutFeatures), module.Device.MultiprocessorCount / shape.Cluster);
        module[SelectShape.Kernel].LaunchOverlapping(clusters * shape.Cluster, shape.Threads, shape.SharedBytes, weight.Words, weight.Scales, x, addend, y,
            tokens, weight.InFeatures, weight.OutFeatures, weight.Groups, CountShape.AddendStride(addend, weight));
    }

    // Products of four warps with their operand in shared memory are what compute capability 9.0 has, and no other.
    private static bool IsHopper(Device device) => CudaDevice.Get(device).ComputeMajor == 9;

    private static bool Selects(Device device)
    {
        try
        {
            return CudaDevice.Get(device).ComputeMajor >= 8 && MultipliesRightly(device);
        }
        catch (CudaException)
        {
            // A compiler that is too old to know the instructions.
            return false;
        }
    }

    private static bool MultipliesRightly(Device device)
    {
        const int rows = 64, columns = 512, tokens = 8;
        using var off = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        var random = new Random(1);
        var planes = new uint[2 * rows * columns / 32];
        random.NextBytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes(planes.AsSpan()));
        var bases = new BinaryBases(2, rows, columns, columns, planes, [.. Enumerable.Range(0, 2 * rows).Select(k => (Half)(0.5f + k / 128f))], null);
        double[] x = [.. Enumerable.Range(0, tokens * columns).Select(_ => (double)random.Next(-16, 17))], expected = new double[tokens * rows];
        ReferenceProduct.Multiply(bases, x, expected);
        using var product = CudaProduct.Of(bases, device);
        var y = torch.empty([tokens, rows], ScalarType.Float16, device);
        Run(product.Weight, torch.tensor(x, tokens, columns).to(ScalarType.Float16, device), null, y);
        var actual = y.to(ScalarType.Float64, torch.CPU).flatten().ToArray<double>();
        double error = 0, size = 0;
        for (var k = 0; k < actual.Length; k++)
            (error, size) = (error + Math.Pow(actual[k] - expected[k], 2), size + expected[k] * expected[k]);
        // Not a number is no small error either.
        return Math.Sqrt(error / size) < MostError;
    }
}
