using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;
using Qbb.Cuda;

namespace Qbb.Bases.Tests.Cuda;

/// <summary>Compiles a kernel's source with g++ and emulator.h in place of device.cu, and runs it on tensors of the CPU.</summary>
internal sealed unsafe class Emulator
{
    private static readonly ConcurrentDictionary<string, Lazy<Emulator>> s_built = [];
    private static readonly string s_folder = Directory.CreateTempSubdirectory("qbb-emulator-").FullName;
    private static readonly Lock s_lock = new();
    private readonly delegate* unmanaged<int, int, int, int, void**, void> _run;

    private Emulator(string library) =>
        _run = (delegate* unmanaged<int, int, int, int, void**, void>)NativeLibrary.GetExport(NativeLibrary.Load(library), "emulate");

    /// <param name="source">A source with device.cu before it, as it is compiled for a GPU.</param>
    /// <param name="kernel">The kernel's name.</param>
    /// <param name="parameters">Types of its parameters in C++, in order.</param>
    public static Emulator Build(KernelSource source, string kernel, params string[] parameters)
    {
        var key = kernel + string.Join(' ', source.Options);
        return s_built.GetOrAdd(key, _ => new(() => new(Compile(source, kernel, parameters)))).Value;
    }

    /// <summary>Runs a grid; fibers of one block at a time, so that only one grid runs at once.</summary>
    public void Run(LaunchShape grid, int threads, int sharedBytes, params object?[] arguments)
    {
        var values = stackalloc long[arguments.Length];
        var pointers = stackalloc void*[arguments.Length];
        for (var k = 0; k < arguments.Length; k++)
        {
            values[k] = arguments[k] switch
            {
                null => 0,
                Tensor tensor => (long)tensor.data_ptr(),
                int number => number,
                float number => BitConverter.SingleToInt32Bits(number),
                var other => throw new ArgumentException($"argument {k}: {other}"),
            };
            pointers[k] = values + k;
        }
        lock (s_lock)
            _run(grid.X, grid.Y, threads, sharedBytes, pointers);
        GC.KeepAlive(arguments);
    }

    private static string Compile(KernelSource source, string kernel, string[] parameters)
    {
        var path = Path.Combine(s_folder, Guid.NewGuid().ToString("n"));
        var marker = source.Code.IndexOf(DeviceSource.End, StringComparison.Ordinal);
        var arguments = string.Join(", ", parameters.Select((type, k) => $"*(({type}*)arguments[{k}])"));
        File.WriteAllText(path + ".cpp", $$"""
            #include "{{Path.Combine(AppContext.BaseDirectory, "Cuda", "emulator.h")}}"
            {{source.Code[(marker + DeviceSource.End.Length)..]}}
            static void** arguments;
            static void body() { {{kernel}}({{arguments}}); }
            extern "C" void emulate(int grid, int rows, int threads, int shared, void** given) { arguments = given; emulated::run(grid, rows, threads, shared, body, {{(source.Options.FirstOrDefault(option => option.StartsWith("-DCLUSTER=", StringComparison.Ordinal)) is { } cluster ? cluster["-DCLUSTER=".Length..] : "1")}}); }
            """);
        var start = new ProcessStartInfo("g++", ["-x", "c++", "-std=c++20", "-O1", "-w", "-shared", "-fPIC", "-ffp-contract=off", .. source.Options, path + ".cpp", "-o", path + ".so"])
        {
            RedirectStandardError = true,
        };
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? path + ".so" : throw new InvalidOperationException($"g++ does not compile {kernel}:\n{errors}");
    }
}
