using System.Runtime.InteropServices;

namespace Qbb.Cuda;

/// <summary>Mirror of <c>CUlaunchConfig</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct LaunchConfig(LaunchShape grid, LaunchShape block, int sharedBytes, nint stream, LaunchAttribute* attributes, uint count)
{
    public uint GridX = (uint)grid.X, GridY = (uint)grid.Y, GridZ = (uint)grid.Z;
    public uint BlockX = (uint)block.X, BlockY = (uint)block.Y, BlockZ = (uint)block.Z;
    public uint SharedBytes = (uint)sharedBytes;
    public nint Stream = stream;
    public LaunchAttribute* Attributes = attributes;
    public uint Count = count;
}
