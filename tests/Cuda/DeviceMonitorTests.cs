using System.Runtime.InteropServices;

namespace Qbb.Cuda.Tests;

/// <summary>What NVML tells of a board, through functions of the test with its signatures.</summary>
public sealed unsafe class DeviceMonitorTests
{
    private const int NotSupported = 3;

    [Fact]
    public void Memory_use_and_energy_are_read()
    {
        var monitor = DeviceMonitor.Open(Export, "0000:3b:00.0")!;
        monitor.Memory.ShouldBe((60L << 30, 141L << 30));
        monitor.Use.ShouldBe(0.37);
        monitor.Joules.ShouldBe(1234.567);
    }

    [Fact]
    public void What_a_board_does_not_tell_is_null()
    {
        DeviceMonitor.Open(Export, "0000:3c:00.0").ShouldBeNull("no such board");
        DeviceMonitor.Open(name => name == "nvmlInit_v2" ? 0 : Export(name), "0000:3b:00.0").ShouldBeNull("another library");
        DeviceMonitor.Open(name => name == "nvmlDeviceGetUtilizationRates" ? 0 : Export(name), "0000:3b:00.0")!.Use.ShouldBeNull("an older library");
        DeviceMonitor.Open(name => name == "nvmlDeviceGetTotalEnergyConsumption" ? (nint)(delegate* unmanaged<nint, void*, int>)&Refuse : Export(name), "0000:3b:00.0")!
            .Joules.ShouldBeNull("an older board");
    }

    private static nint Export(string name) => name switch
    {
        "nvmlInit_v2" => (nint)(delegate* unmanaged<int>)&Initialize,
        "nvmlDeviceGetHandleByPciBusId_v2" => (nint)(delegate* unmanaged<byte*, nint*, int>)&Find,
        "nvmlDeviceGetMemoryInfo" => (nint)(delegate* unmanaged<nint, ulong*, int>)&Memory,
        "nvmlDeviceGetUtilizationRates" => (nint)(delegate* unmanaged<nint, uint*, int>)&Use,
        "nvmlDeviceGetTotalEnergyConsumption" => (nint)(delegate* unmanaged<nint, ulong*, int>)&Energy,
        _ => 0,
    };

    [UnmanagedCallersOnly]
    private static int Initialize() => 0;

    [UnmanagedCallersOnly]
    private static int Find(byte* address, nint* device)
    {
        *device = 7;
        return Marshal.PtrToStringUTF8((nint)address) == "0000:3b:00.0" ? 0 : 6;
    }

    [UnmanagedCallersOnly]
    private static int Memory(nint device, ulong* memory)
    {
        (memory[0], memory[1], memory[2]) = (141UL << 30, 81UL << 30, 60UL << 30);
        return device == 7 ? 0 : 1;
    }

    [UnmanagedCallersOnly]
    private static int Use(nint device, uint* percent)
    {
        (percent[0], percent[1]) = (37, 12);
        return device == 7 ? 0 : 1;
    }

    [UnmanagedCallersOnly]
    private static int Energy(nint device, ulong* millijoules)
    {
        *millijoules = 1_234_567;
        return device == 7 ? 0 : 1;
    }

    [UnmanagedCallersOnly]
    private static int Refuse(nint device, void* value) => NotSupported;
}
