using Qbb.Cuda;

namespace Qbb.Bases.Cuda;

/// <summary>Shared memory that a device has for kernels, which decides on their shapes: from 99 KB in desktops to 227 KB in data centres.</summary>
/// <param name="PerBlock">Most bytes of one block.</param>
/// <param name="PerMultiprocessor">Bytes that the blocks of one multiprocessor share.</param>
internal readonly record struct SharedMemory(int PerBlock, int PerMultiprocessor)
{
    // What each block costs beside its own.
    private const int PerBlockReserved = 1 << 10;

    /// <summary>That of compute capability 9.0.</summary>
    public static readonly SharedMemory Hopper = new(227 << 10, 228 << 10);

    /// <summary>That of a device; of a Hopper where the device is no GPU.</summary>
    public static SharedMemory Of(Device device)
    {
        if (device.type != DeviceType.CUDA)
            return Hopper;
        var gpu = CudaDevice.Get(device);
        return new(gpu.MaxSharedMemoryPerBlock, gpu.SharedMemoryPerMultiprocessor);
    }

    /// <summary>Whether a multiprocessor can hold so many blocks of so many bytes at a time.</summary>
    public bool Holds(int blocks, int bytes) => bytes <= PerBlock && blocks * (bytes + PerBlockReserved) <= PerMultiprocessor;
}
