using System.Collections.Concurrent;
using System.Reflection;
using Qbb.Cuda;

namespace Qbb.Quantizer.Methods.OutputAware;

/// <summary>The kernels of output_aware.cu for one number of bases and one type; each is looked up once.</summary>
/// <param name="bases">N.</param>
/// <param name="bias">Whether groups have a bias.</param>
/// <param name="device">Where they run.</param>
/// <param name="type">What they calculate in: f64 or f32.</param>
/// <param name="loader">Where they come from.</param>
internal sealed class DeviceKernels(int bases, bool bias, Device device, ScalarType type, KernelLoader loader)
{
    /// <summary>Columns that a launch of a column loop takes.</summary>
    public const int Block = 128;

    /// <summary>Warps of a block of threads.</summary>
    public const int Warps = 8;

    /// <summary>The same in column loops, whose blocks share a part of H.</summary>
    public const int ColumnWarps = 16;

    private const int Threads = 256;
    private readonly ConcurrentDictionary<(string, int), IKernel> _found = [];

    /// <summary>A thread for each of <paramref name="count"/> pieces of work.</summary>
    public void Elements(string name, long count, params ReadOnlySpan<KernelArgument> arguments) =>
        Find(name, Warps).Launch(Blocks(count, Threads), Threads, 0, arguments);

    /// <summary>A warp for each piece of work.</summary>
    public void Pieces(string name, long count, params ReadOnlySpan<KernelArgument> arguments) =>
        Find(name, Warps).Launch(Blocks(count, Warps), Warps * 32, 0, arguments);

    /// <summary>A block of threads for each piece of work.</summary>
    public void Rows(string name, long count, params ReadOnlySpan<KernelArgument> arguments) =>
        Find(name, Warps).Launch(checked((int)count), Threads, 0, arguments);

    /// <summary>A column loop over rows, a warp each.</summary>
    public void Columns(string name, long rows, params ReadOnlySpan<KernelArgument> arguments) =>
        Find(name, ColumnWarps).Launch(Blocks(rows, ColumnWarps), ColumnWarps * 32, Block * Block * type.ElementSize(), arguments);

    private IKernel Find(string name, int warps) => _found.GetOrAdd((name, warps), _ => loader(
        KernelSource.Embedded(
            Assembly.GetExecutingAssembly(), ["bases.cu", "output_aware.cu"], $"-DBASES={bases}", $"-DBIAS={(bias ? 1 : 0)}",
            $"-DREAL={(type == ScalarType.Float64 ? "double" : "float")}", $"-DBLOCK={Block}", $"-DWARPS={warps}"),
        name, device));

    private static int Blocks(long pieces, int each) => checked((int)((pieces + each - 1) / each));
}
