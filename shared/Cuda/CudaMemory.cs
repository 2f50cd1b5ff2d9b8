namespace Qbb.Cuda;

/// <summary>Memory of a GPU as its driver counts it.</summary>
public static class CudaMemory
{
    /// <summary>
    /// Bytes that are taken on the device, by other programs too. libtorch's caching allocator gives nothing back while a program works, so
    /// at the end of a run this is the most that the run held. libtorch's own counters are not within reach of C.
    /// </summary>
    public static long Taken(Device device)
    {
        var (free, total) = CudaDevice.Get(device).Memory;
        return total - free;
    }
}
