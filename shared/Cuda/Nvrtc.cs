using System.Runtime.InteropServices;
using System.Text;

namespace Qbb.Cuda;

/// <summary>NVIDIA's run-time compiler: CUDA C++ in, machine code of one architecture out. Loaded at first use.</summary>
public static unsafe class Nvrtc
{
    private static readonly string[] s_names = ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"];
    private static readonly Lazy<nint> s_library = new(Load);
    private static readonly Lock s_lock = new();

    /// <summary>Whether the compiler is there.</summary>
    public static bool IsAvailable() => NativeLibraries.TryLoad(s_names, NativeLibraries.Folders(), out _);

    /// <summary>Major and minor: <c>13.0</c>.</summary>
    /// <exception cref="CudaException">The library is not there.</exception>
    public static string Version
    {
        get
        {
            int major, minor;
            Check(((delegate* unmanaged<int*, int*, int>)Symbol("nvrtcVersion"))(&major, &minor), "nvrtcVersion", "");
            return $"{major}.{minor}";
        }
    }

    /// <summary>Compiles a source for one architecture.</summary>
    /// <param name="source">The source, which includes nothing.</param>
    /// <param name="architecture">As in <see cref="CudaDevice.Architecture"/>: <c>sm_90a</c>.</param>
    /// <returns>A cubin.</returns>
    /// <exception cref="CudaException">The source does not compile: carries the compiler's log. Or the library is not there.</exception>
    public static byte[] Compile(KernelSource source, string architecture)
    {
        // One at a time: a module is compiled once on a machine, and the first call loads the compiler's own libraries.
        lock (s_lock)
        {
            var program = Create(source);
            try
            {
                var options = source.CompilerOptions(architecture);
                var texts = options.Select(Marshal.StringToCoTaskMemUTF8).ToArray();
                int code;
                fixed (nint* pointers = texts)
                    code = ((delegate* unmanaged<nint, int, nint*, int>)Symbol("nvrtcCompileProgram"))(program, texts.Length, pointers);
                foreach (var text in texts)
                    Marshal.FreeCoTaskMem(text);
                Check(code, $"compiling {source.Name} for {architecture} ({string.Join(' ', options)})", Log(program));
                return Bytes(program, "nvrtcGetCUBINSize", "nvrtcGetCUBIN");
            }
            finally
            {
                ((delegate* unmanaged<nint*, int>)Symbol("nvrtcDestroyProgram"))(&program);
            }
        }
    }

    private static nint Create(KernelSource source)
    {
        var (code, name) = (Marshal.StringToCoTaskMemUTF8(source.Code), Marshal.StringToCoTaskMemUTF8(source.Name));
        nint program;
        var create = (delegate* unmanaged<nint*, nint, nint, int, nint*, nint*, int>)Symbol("nvrtcCreateProgram");
        var result = create(&program, code, name, 0, null, null);
        Marshal.FreeCoTaskMem(code);
        Marshal.FreeCoTaskMem(name);
        Check(result, "nvrtcCreateProgram", "");
        return program;
    }

    private static string Log(nint program) => Encoding.UTF8.GetString(Bytes(program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog")).TrimEnd('\0', '\n');

    private static byte[] Bytes(nint program, string sizeOf, string get)
    {
        nuint size;
        Check(((delegate* unmanaged<nint, nuint*, int>)Symbol(sizeOf))(program, &size), sizeOf, "");
        var bytes = new byte[size];
        fixed (byte* data = bytes)
            Check(((delegate* unmanaged<nint, byte*, int>)Symbol(get))(program, data), get, "");
        return bytes;
    }

    private static void Check(int code, string operation, string log)
    {
        if (code == 0)
            return;
        var text = Marshal.PtrToStringUTF8(((delegate* unmanaged<int, nint>)Symbol("nvrtcGetErrorString"))(code));
        throw new CudaException(operation, log.Length == 0 ? text ?? "" : $"{text}\n{log}");
    }

    private static nint Symbol(string name) => NativeLibrary.GetExport(s_library.Value, name);

    private static nint Load()
    {
        var folders = NativeLibraries.Folders();
        return NativeLibraries.TryLoad(s_names, folders, out var library) ? library : throw new CudaException("NVRTC",
            $"none of {string.Join(", ", s_names)} was found by the loader or in {string.Join(", ", folders)}. " +
            "It comes with PyTorch for CUDA (package nvidia-cuda-nvrtc) and with the CUDA toolkit; set LD_LIBRARY_PATH to its folder, or use --device cpu");
    }
}
