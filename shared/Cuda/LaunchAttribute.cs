using System.Runtime.InteropServices;

namespace Qbb.Cuda;

/// <summary>Mirror of <c>CUlaunchAttribute</c>, whose value is a union of 64 bytes.</summary>
[StructLayout(LayoutKind.Explicit, Size = 72)]
internal struct LaunchAttribute
{
    [FieldOffset(0)] public int Id;
    [FieldOffset(8)] public int Value;

    /// <summary>CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION: the kernel itself waits for the one before it.</summary>
    public static LaunchAttribute Overlap => new() { Id = 6, Value = 1 };
}
