namespace Qbb.Cuda;

/// <summary>A function that runs on many threads: <see cref="Kernel"/> on a GPU, or what stands in for it in a test.</summary>
public interface IKernel
{
    /// <summary>Queues one run.</summary>
    /// <param name="grid">Blocks. Nothing happens where there are none.</param>
    /// <param name="block">Threads of a block.</param>
    /// <param name="sharedBytes">Dynamic shared memory of a block.</param>
    /// <param name="arguments">In the order of the kernel's parameters.</param>
    void Launch(LaunchShape grid, LaunchShape block, int sharedBytes, params ReadOnlySpan<KernelArgument> arguments);
}

/// <summary>Finds a kernel of a source for a device.</summary>
public delegate IKernel KernelLoader(KernelSource source, string kernel, Device device);
