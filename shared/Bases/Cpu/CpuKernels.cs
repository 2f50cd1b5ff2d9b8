using System.Runtime.Intrinsics.X86;

namespace Qbb.Bases.Cpu;

/// <summary>The kernels and which of them this processor can run.</summary>
public static class CpuKernels
{
    /// <summary>The widest instructions that the processor has.</summary>
    public static CpuInstructions Best =>
        IsSupported(CpuInstructions.Avx512) ? CpuInstructions.Avx512
        : IsSupported(CpuInstructions.Avx2) ? CpuInstructions.Avx2
        : CpuInstructions.Portable;

    /// <summary>Whether the processor has these instructions.</summary>
    public static bool IsSupported(CpuInstructions instructions) => instructions switch
    {
        CpuInstructions.Avx512 => Avx512BW.IsSupported,
        CpuInstructions.Avx2 => Avx2.IsSupported && Fma.IsSupported,
        _ => true,
    };

    /// <summary>The kernel that sums floats, or integers.</summary>
    internal static CpuKernel Create(CpuInstructions instructions, bool integer) => (instructions, integer) switch
    {
        (CpuInstructions.Avx512, false) => new Avx512FloatKernel(),
        (CpuInstructions.Avx512, true) => new Avx512IntegerKernel(),
        (CpuInstructions.Avx2, false) => new Avx2Kernel<float, FloatLanes>(),
        (CpuInstructions.Avx2, true) => new Avx2Kernel<int, IntegerLanes>(),
        (_, false) => new PortableKernel<float>(),
        (_, true) => new PortableKernel<int>(),
    };
}
