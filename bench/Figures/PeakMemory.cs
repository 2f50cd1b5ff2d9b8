using Qbb.Cuda;
using System.Diagnostics;

namespace Qbb.Bench.Figures;

/// <summary>The most memory that was held since the last reset.</summary>
internal static class PeakMemory
{
    public static void Reset(Device device)
    {
        if (device.type == DeviceType.CUDA)
            CudaMemory.ResetPeak(device);
    }

    /// <summary>On a GPU what libtorch held of it; else the peak of the whole process.</summary>
    public static IEnumerable<Figure> Read(Device device)
    {
        if (device.type == DeviceType.CUDA)
        {
            var memory = CudaMemory.Of(device);
            yield return new Figure("peak GPU memory in tensors", Math.ScaleB(memory.Peak, -30), "GiB");
            yield return new Figure("peak GPU memory held", Math.ScaleB(memory.PeakReserved, -30), "GiB");
            yield break;
        }
        using var process = Process.GetCurrentProcess();
        yield return new Figure("peak memory of this run", Math.ScaleB(process.PeakWorkingSet64, -30), "GiB");
    }
}
