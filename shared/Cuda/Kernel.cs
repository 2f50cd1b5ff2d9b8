namespace Qbb.Cuda;

/// <summary>One compiled <c>__global__</c> function. Launches go to libtorch's current stream, in order with libtorch's own work.</summary>
public sealed unsafe class Kernel : IKernel
{
    private const int DynamicSharedBytes = 8;
    private readonly nint _function;
    private readonly int[]? _parameterSizes;
    private int _dynamicShared;

    internal Kernel(CudaDevice device, string name, nint function)
    {
        (Device, Name, _function) = (device, name, function);
        _parameterSizes = ParameterSizes();
        // What a block gets without asking is 48 KB with the static part.
        _dynamicShared = (48 << 10) - StaticSharedBytes;
    }

    public CudaDevice Device { get; }
    public string Name { get; }
    /// <summary>Registers of one thread.</summary>
    public int Registers => Attribute(4);
    /// <summary>Bytes of one thread that registers did not hold.</summary>
    public int LocalBytes => Attribute(3);
    /// <summary>Bytes of shared memory that the source itself declares.</summary>
    public int StaticSharedBytes => Attribute(1);
    public int MaxThreadsPerBlock => Attribute(0);

    /// <summary>Blocks of a shape that fit one multiprocessor at a time.</summary>
    public int ActiveBlocks(int threads, int sharedBytes = 0)
    {
        AllowShared(sharedBytes);
        int blocks;
        Driver.Check(Driver.Occupancy(&blocks, _function, threads, (nuint)sharedBytes), $"occupancy of {Name}");
        return blocks;
    }

    /// <inheritdoc/>
    /// <remarks>Returns at once. Dynamic shared memory above 48 KB is asked of the driver.</remarks>
    /// <exception cref="ArgumentException">Arguments that the kernel does not take: their count, a size, a tensor elsewhere or not contiguous.</exception>
    /// <exception cref="CudaException">The driver refused.</exception>
    public void Launch(LaunchShape grid, LaunchShape block, int sharedBytes, params ReadOnlySpan<KernelArgument> arguments) =>
        Queue(grid, block, sharedBytes, overlap: false, arguments);

    /// <summary>
    /// As <see cref="Launch"/>, but blocks may begin while the kernel before it still runs. Every block must call overlap_wait of device.cu
    /// before it reads or writes what an earlier kernel works on. Before compute capability 9.0 a plain launch.
    /// </summary>
    public void LaunchOverlapping(LaunchShape grid, LaunchShape block, int sharedBytes, params ReadOnlySpan<KernelArgument> arguments) =>
        Queue(grid, block, sharedBytes, Device.ComputeMajor >= 9, arguments);

    private void Queue(LaunchShape grid, LaunchShape block, int sharedBytes, bool overlap, ReadOnlySpan<KernelArgument> arguments)
    {
        long* values = stackalloc long[arguments.Length];
        void** pointers = stackalloc void*[arguments.Length];
        LaunchArguments.Pack(Name, Device.Index, _parameterSizes, arguments, values);
        for (var k = 0; k < arguments.Length; k++)
            pointers[k] = values + k;
        if (grid.Count == 0)
            return;
        AllowShared(sharedBytes);
        Device.MakeCurrent();
        var stream = CudaStream.Current(Device.Index);
        int code;
        if (overlap)
        {
            var attribute = LaunchAttribute.Overlap;
            var config = new LaunchConfig(grid, block, sharedBytes, stream, &attribute, 1);
            code = Driver.LaunchKernelWithAttributes(&config, _function, pointers, null);
        }
        else
        {
            code = Driver.LaunchKernel(_function, (uint)grid.X, (uint)grid.Y, (uint)grid.Z, (uint)block.X, (uint)block.Y, (uint)block.Z,
                (uint)sharedBytes, stream, pointers, null);
        }
        Driver.Check(code, $"launch of {Name}, grid {grid}, block {block}, {sharedBytes} bytes of shared memory");
        foreach (ref readonly var argument in arguments)
            GC.KeepAlive(argument.Owner);
    }

    private void AllowShared(int bytes)
    {
        if (bytes <= _dynamicShared)
            return;
        Device.MakeCurrent();
        Driver.Check(Driver.FunctionSetAttribute(_function, DynamicSharedBytes, bytes),
            $"{bytes} bytes of shared memory for {Name} (a block has at most {Device.MaxSharedMemoryPerBlock})");
        _dynamicShared = bytes;
    }

    private int Attribute(int attribute)
    {
        int value;
        Driver.Check(Driver.FunctionGetAttribute(&value, attribute, _function), $"cuFuncGetAttribute({Name}, {attribute})");
        return value;
    }

    /// <summary>Sizes of the parameters, or null where the driver is too old to tell them.</summary>
    private int[]? ParameterSizes()
    {
        if (Driver.FunctionParameter == null)
            return null;
        var sizes = new List<int>();
        nuint offset, size;
        while (Driver.FunctionParameter(_function, (nuint)sizes.Count, &offset, &size) == 0)
            sizes.Add((int)size);
        return [.. sizes];
    }
}
