using Qbb.Torch.Interop;

namespace Qbb.Torch.Cuda;

/// <summary>Bytes of a GPU's memory as libtorch's caching allocator counts them. Needs libtorch 2.9.</summary>
/// <param name="Allocated">In tensors now.</param>
/// <param name="Peak">Most in tensors since the last reset.</param>
/// <param name="PeakReserved">Most held from the driver since the last reset: what the rest of the machine could not use.</param>
public readonly record struct CudaMemory(long Allocated, long Peak, long PeakReserved)
{
    public static CudaMemory Of(Device device)
    {
        NativeMethods.Check(NativeMethods.qbb_cuda_memory(Math.Max(device.Index, 0), out var allocated, out var peak, out var reserved), "torch.cuda.memory_stats");
        return new(allocated, peak, reserved);
    }

    /// <summary>Lets the peaks begin again, after unused memory was given back to the driver.</summary>
    public static void ResetPeak(Device device) =>
        NativeMethods.Check(NativeMethods.qbb_cuda_reset_peak(Math.Max(device.Index, 0)), "torch.cuda.reset_peak_memory_stats");
}
