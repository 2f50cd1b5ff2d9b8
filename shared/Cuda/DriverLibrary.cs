using System.Runtime.InteropServices;

namespace Qbb.Cuda;

/// <summary>NVIDIA's driver library, loaded at first use: the program runs without it where no GPU is requested.</summary>
internal static unsafe class DriverLibrary
{
    private static readonly string[] s_names = ["libcuda.so.1", "libcuda.so"];
    private static readonly Lazy<nint> s_handle = new(Load);

    /// <exception cref="CudaException">There is no driver, or it finds no GPU.</exception>
    public static nint Handle => s_handle.Value;

    private static nint Load()
    {
        if (!NativeLibraries.TryLoad(s_names, [], out var library))
            throw new CudaException("CUDA", $"no {s_names[0]}: NVIDIA's driver is not installed here; use --device cpu");
        var code = ((delegate* unmanaged<uint, int>)NativeLibrary.GetExport(library, "cuInit"))(0);
        return code == 0 ? library : throw new CudaException("cuInit", $"error {code}: the driver found no usable GPU");
    }
}
