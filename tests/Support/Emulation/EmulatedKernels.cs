using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using Qbb.Cuda;

namespace Qbb.Tests.Emulation;

/// <summary>
/// Kernels compiled by g++ for the CPU (cuda_emulator.h, and device_emulator.h in place of device.cu), for tensors there: the logic of a kernel
/// is tested without a GPU. Without g++ a test is skipped.
/// </summary>
internal static class EmulatedKernels
{
    private static readonly Lock s_lock = new();
    private static readonly Dictionary<string, nint> s_libraries = [];

    /// <summary>The emulator with the threads of a block in the opposite order: results must not depend on it.</summary>
    public static IKernel LoadBackwards(KernelSource source, string kernel, Device device) =>
        Load(source with { Options = [.. source.Options, "-DEMULATED_BACKWARDS"] }, kernel, device);

    /// <summary>The emulator as a <see cref="KernelLoader"/>.</summary>
    public static IKernel Load(KernelSource source, string kernel, Device device)
    {
        device.type.ShouldBe(DeviceType.CPU, "emulated kernels work on tensors of the CPU");
        lock (s_lock)
        {
            var key = KernelCache.Key(source, "cpu", "g++");
            if (!s_libraries.TryGetValue(key, out var library))
                s_libraries[key] = library = Build(source);
            return new EmulatedKernel(NativeLibrary.GetExport(library, $"emulate_{kernel}"));
        }
    }

    private static nint Build(KernelSource source)
    {
        var folder = Directory.CreateTempSubdirectory("qbb-emulated-").FullName;
        try
        {
            var file = Path.Combine(folder, "kernel.cpp");
            var marker = source.Code.IndexOf(DeviceSource.End, StringComparison.Ordinal);
            var (header, kernels) = marker < 0 ? ("cuda_emulator.h", source.Code) : ("device_emulator.h", source.Code[(marker + DeviceSource.End.Length)..]);
            // Dynamic shared memory is the one declaration that the emulator cannot express by a macro.
            var code = Regex.Replace(kernels, @"extern __shared__ (\w+) (\w+)\[\];", "extern_shared($1, $2);");
            var launchers = Regex.Matches(code, @"__global__\s+void\b(?:\s|#[^\n]*\n|__\w+__\([^()]*\))*(\w+)\(").Select(found => found.Groups[1].Value)
                .Select(kernel => $"extern \"C\" void emulate_{kernel}(const int* grid, const int* block, int shared, void** arguments) " +
                    $"{{ emulator::launch<{kernel}>(grid, block, shared, arguments); }}\n");
            File.WriteAllText(file, $"#include \"{header}\"\n{code}\n{string.Concat(launchers)}");
            var library = Path.Combine(folder, "kernel.so");
            var defines = source.Options.Where(option => option.StartsWith("-D", StringComparison.Ordinal));
            // The standard headers of C++20 take three times as long to read, which is most of the time.
            string[] options = ["-std=c++17", "-O1", "-w", "-shared", "-fPIC", "-ffp-contract=off", "-march=native", "-U_FORTIFY_SOURCE", "-I", AppContext.BaseDirectory, .. defines, file, "-o", library];
            using var process = Start(options);
            var errors = process.StandardError.ReadToEnd();
            process.WaitForExit();
            process.ExitCode.ShouldBe(0, errors);
            return NativeLibrary.Load(library);
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }

    private static Process Start(string[] options)
    {
        try
        {
            return Process.Start(new ProcessStartInfo("g++", options) { RedirectStandardError = true })!;
        }
        catch (Win32Exception)
        {
            Assert.Skip("g++ compiles kernels for the CPU, and is not on the PATH");
            throw;
        }
    }

    private sealed unsafe class EmulatedKernel(nint function) : IKernel
    {
        public void Launch(LaunchShape grid, LaunchShape block, int sharedBytes, params ReadOnlySpan<KernelArgument> arguments)
        {
            long* values = stackalloc long[arguments.Length];
            void** pointers = stackalloc void*[arguments.Length];
            for (var k = 0; k < arguments.Length; k++)
            {
                values[k] = arguments[k].Tensor is { } tensor ? Address(tensor) : arguments[k].Bits;
                pointers[k] = values + k;
            }
            int* shape = stackalloc int[] { grid.X, grid.Y, grid.Z, block.X, block.Y, block.Z };
            // The emulator keeps its state in globals of the library.
            lock (s_lock)
                ((delegate* unmanaged<int*, int*, int, void**, void>)function)(shape, shape + 3, sharedBytes, pointers);
            foreach (ref readonly var argument in arguments)
                GC.KeepAlive(argument.Owner);
        }

        private static long Address(Tensor tensor)
        {
            tensor.device_type.ShouldBe(DeviceType.CPU);
            tensor.is_contiguous().ShouldBeTrue();
            return tensor.data_ptr();
        }
    }
}
