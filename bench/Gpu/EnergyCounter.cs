using System.Runtime.InteropServices;
using Qbb.Cuda;

namespace Qbb.Bench.Gpu;

/// <summary>The energy that a GPU has used since its driver was loaded, as NVML counts it for the whole board.</summary>
internal sealed unsafe class EnergyCounter
{
    private readonly nint _library;
    private readonly nint _device;

    private EnergyCounter(nint library, nint device) => (_library, _device) = (library, device);

    /// <summary>The counter of a device; null where there is no NVML or the board has no counter.</summary>
    public static EnergyCounter? Open(Device device)
    {
        if (!NativeLibrary.TryLoad("libnvidia-ml.so.1", out var library)
            || ((delegate* unmanaged<int>)NativeLibrary.GetExport(library, "nvmlInit_v2"))() != 0)
            return null;
        nint handle;
        var address = System.Text.Encoding.ASCII.GetBytes(CudaDevice.Get(device).PciAddress + '\0');
        fixed (byte* text = address)
        {
            if (((delegate* unmanaged<byte*, nint*, int>)NativeLibrary.GetExport(library, "nvmlDeviceGetHandleByPciBusId_v2"))(text, &handle) != 0)
                return null;
        }
        var counter = new EnergyCounter(library, handle);
        return counter.TryRead(out _) ? counter : null;
    }

    /// <summary>Joules so far. The counter itself moves every 20 to 100 ms: measure over seconds.</summary>
    public double Joules => TryRead(out var millijoules) ? millijoules / 1e3 : double.NaN;

    private bool TryRead(out ulong millijoules)
    {
        ulong value;
        var code = ((delegate* unmanaged<nint, ulong*, int>)NativeLibrary.GetExport(_library, "nvmlDeviceGetTotalEnergyConsumption"))(_device, &value);
        millijoules = value;
        return code == 0;
    }
}
