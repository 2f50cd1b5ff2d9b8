using System.Runtime.InteropServices;
using System.Text;

namespace Qbb.Cuda;

/// <summary>What NVML (libnvidia-ml, a part of the driver) tells of a whole board, whoever uses it. Figures that a board does not have are null.</summary>
public sealed unsafe class DeviceMonitor
{
    private readonly Func<string, nint> _export;
    private readonly nint _device;

    private DeviceMonitor(Func<string, nint> export, nint device) => (_export, _device) = (export, device);

    /// <summary>The monitor of a device; null where there is no NVML.</summary>
    public static DeviceMonitor? Open(Device device) => NativeLibrary.TryLoad("libnvidia-ml.so.1", out var library)
        ? Open(name => NativeLibrary.TryGetExport(library, name, out var address) ? address : 0, CudaDevice.Get(device).PciAddress)
        : null;

    /// <param name="export">Finds a function of NVML by its name; 0 where it is missing.</param>
    /// <param name="pciAddress">Of the device.</param>
    internal static DeviceMonitor? Open(Func<string, nint> export, string pciAddress)
    {
        var initialize = (delegate* unmanaged<int>)export("nvmlInit_v2");
        var find = (delegate* unmanaged<byte*, nint*, int>)export("nvmlDeviceGetHandleByPciBusId_v2");
        if (initialize is null || find is null || initialize() != 0)
            return null;
        nint device;
        fixed (byte* text = Encoding.ASCII.GetBytes(pciAddress + '\0'))
            return find(text, &device) == 0 ? new DeviceMonitor(export, device) : null;
    }

    /// <summary>Bytes in use, and bytes in all.</summary>
    public (long Used, long Total)? Memory
    {
        get
        {
            // nvmlMemory_t: total, free, used.
            var memory = stackalloc ulong[3];
            return IsRead("nvmlDeviceGetMemoryInfo", memory) ? ((long)memory[2], (long)memory[0]) : null;
        }
    }

    /// <summary>The part of the last sampling period (up to a second) in which a kernel ran, 0 to 1.</summary>
    public double? Use
    {
        get
        {
            // nvmlUtilization_t: percent of the device and of its memory interface.
            var percent = stackalloc uint[2];
            return IsRead("nvmlDeviceGetUtilizationRates", percent) ? percent[0] / 100.0 : null;
        }
    }

    /// <summary>Joules since the driver was loaded. The counter moves every 20 to 100 ms: measure over seconds.</summary>
    public double? Joules
    {
        get
        {
            ulong millijoules;
            return IsRead("nvmlDeviceGetTotalEnergyConsumption", &millijoules) ? millijoules / 1e3 : null;
        }
    }

    private bool IsRead(string function, void* value) =>
        (delegate* unmanaged<nint, void*, int>)_export(function) is var read && read is not null && read(_device, value) == 0;
}
