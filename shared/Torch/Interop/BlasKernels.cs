using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace Qbb.Torch.Interop;

/// <summary>
/// OpenBLAS chooses its kernels by a table of processors, and one that it does not know gets those of 2004 (SSE3): matrix products are then
/// three to four times slower than need be. It takes a name from the environment, so the name follows from what the processor can do.
/// </summary>
internal static partial class BlasKernels
{
    private const string Variable = "OPENBLAS_CORETYPE";

    /// <summary>The kernels that fit the processor; null to leave the choice to OpenBLAS.</summary>
    public static string? Best =>
        Avx512BW.VL.IsSupported && Avx512DQ.VL.IsSupported ? "SkylakeX"
        : Avx2.IsSupported && Fma.IsSupported ? "Haswell"
        : null;

    /// <summary>Tells OpenBLAS, unless the user did; must come before it is loaded.</summary>
    public static void Choose()
    {
        // .NET keeps an environment of its own; OpenBLAS reads the process's.
        if (Best is { } name)
            _ = setenv(Variable, name, overwrite: 0);
    }

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int setenv(string name, string value, int overwrite);
}
