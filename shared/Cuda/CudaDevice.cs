using System.Collections.Concurrent;
using System.Runtime.InteropServices;

namespace Qbb.Cuda;

/// <summary>One GPU, seen through the driver in the same (primary) context that libtorch uses.</summary>
public sealed unsafe class CudaDevice
{
    private static readonly ConcurrentDictionary<int, CudaDevice> s_devices = [];
    private readonly int _handle;
    private readonly nint _context;

    private CudaDevice(int index)
    {
        Index = index;
        int handle;
        nint context;
        Driver.Check(Driver.DeviceGet(&handle, index), $"cuDeviceGet({index})");
        // Retained for the life of the process, as libtorch itself does.
        Driver.Check(Driver.PrimaryContextRetain(&context, handle), $"cuDevicePrimaryCtxRetain({index})");
        (_handle, _context) = (handle, context);
        // Asked once: the shape of every launch depends on them.
        (ComputeMajor, ComputeMinor, MultiprocessorCount) = (Attribute(75), Attribute(76), Attribute(16));
        (MaxSharedMemoryPerBlock, SharedMemoryPerMultiprocessor) = (Attribute(97), Attribute(81));
    }

    public int Index { get; }
    public int ComputeMajor { get; }
    public int ComputeMinor { get; }

    /// <summary>Target of the compiler; from 9.0 on with the features of exactly this architecture: <c>sm_90a</c>.</summary>
    public string Architecture => ArchitectureOf(ComputeMajor, ComputeMinor);

    public int MultiprocessorCount { get; }
    /// <summary>Most bytes of shared memory that one block may ask for.</summary>
    public int MaxSharedMemoryPerBlock { get; }
    /// <summary>Bytes of shared memory that the blocks of one multiprocessor have together.</summary>
    public int SharedMemoryPerMultiprocessor { get; }
    /// <summary>Bytes of the second-level cache.</summary>
    public int L2Bytes => Attribute(38);
    public int MaxThreadsPerMultiprocessor => Attribute(39);

    /// <summary>Whether double costs at most four times as much as float: on NVIDIA's devices for data centres, for the most part.</summary>
    public bool HasFastDouble => Attribute(87) <= 4;

    /// <summary>NVIDIA's name of the device.</summary>
    public string Name
    {
        get
        {
            byte* text = stackalloc byte[256];
            Driver.Check(Driver.DeviceGetName(text, 256, _handle), "cuDeviceGetName");
            return Marshal.PtrToStringUTF8((nint)text) ?? "";
        }
    }

    /// <summary>Its place on the bus, by which other libraries of NVIDIA's know it: <c>0000:3b:00.0</c>.</summary>
    public string PciAddress
    {
        get
        {
            byte* text = stackalloc byte[32];
            Driver.Check(Driver.DeviceGetPciAddress(text, 32, _handle), "cuDeviceGetPCIBusId");
            return Marshal.PtrToStringUTF8((nint)text) ?? "";
        }
    }

    /// <summary>Bytes that the whole device has free, and has.</summary>
    public (long Free, long Total) Memory
    {
        get
        {
            MakeCurrent();
            nuint free, total;
            Driver.Check(Driver.MemoryGetInfo(&free, &total), "cuMemGetInfo");
            return ((long)free, (long)total);
        }
    }

    /// <summary>Finds a device of libtorch's.</summary>
    /// <exception cref="CudaException">There is no driver, or no such GPU.</exception>
    public static CudaDevice Get(Device device)
    {
        if (device.type != DeviceType.CUDA)
            throw new CudaException("CUDA", $"{device} is not a GPU");
        _ = DriverLibrary.Handle;
        return s_devices.GetOrAdd(Math.Max(device.index, 0), static index => new CudaDevice(index));
    }

    internal static string ArchitectureOf(int major, int minor) => $"sm_{major}{minor}{(major >= 9 ? "a" : "")}";

    /// <summary>Makes the primary context this thread's: libtorch does it at its own first call only.</summary>
    internal void MakeCurrent()
    {
        nint current;
        Driver.Check(Driver.ContextGetCurrent(&current), "cuCtxGetCurrent");
        if (current != _context)
            Driver.Check(Driver.ContextSetCurrent(_context), "cuCtxSetCurrent");
    }

    private int Attribute(int attribute)
    {
        int value;
        Driver.Check(Driver.DeviceGetAttribute(&value, attribute, _handle), $"cuDeviceGetAttribute({attribute})");
        return value;
    }
}
