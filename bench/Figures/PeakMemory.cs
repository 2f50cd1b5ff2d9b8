using System.Diagnostics;
using Qbb.Cuda;

namespace Qbb.Bench.Figures;

/// <summary>The most memory of a run, requested at its end.</summary>
internal static class PeakMemory
{
    /// <summary>On a GPU what is taken on it, which libtorch does not give back meanwhile; else the peak of the whole process.</summary>
    public static long Bytes(Device device)
    {
        if (device.type == DeviceType.CUDA)
            return CudaMemory.Taken(device);
        using var process = Process.GetCurrentProcess();
        return process.PeakWorkingSet64;
    }

    public static IEnumerable<Figure> Read(Device device) =>
        [new(device.type == DeviceType.CUDA ? "GPU memory held" : "peak memory of this run", Math.ScaleB(Bytes(device), -30), "GiB")];
}
