using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using System.Runtime.Loader;
using System.Security.Cryptography;
using System.Text;

namespace Qbb.LibTorch;

/// <summary>
/// Finds libtorch and libLibTorchSharp.so and loads them before TorchSharp looks for them beside its own assembly: libtorch from
/// $LIBTORCH/lib (an installed PyTorch), else both from the nearest folder libtorch/ or out/libtorch/ at or above the program.
/// </summary>
public static unsafe partial class Natives
{
    private const string Binding = "libLibTorchSharp.so";
    private const string Cpu = "libtorch_cpu.so";
    /// <summary>A version of libstdc++ that the binding asks for, without a relocation that uses it.</summary>
    internal const string UnusedVersion = "GLIBCXX_3.4.32";
    private static readonly Version[] s_versions = [new(2, 10), new(2, 11)];
    private static readonly Lazy<(nint Cpu, nint Cuda, nint Binding, Version Version, string? CudaError)> s_loaded = new(LoadAll);
    private static int s_registered;

    /// <summary>Loads libtorch now, where it is not loaded yet.</summary>
    /// <exception cref="TorchUnavailableException">It is missing, or not one that fits.</exception>
    public static void Load() => _ = s_loaded.Value;

    /// <summary>
    /// Loads libtorch when TorchSharp's own assembly is loaded: a program that calculates nothing never does. The runtime does not keep other
    /// threads from using an assembly meanwhile: whoever begins on several threads calls <see cref="Load"/> first.
    /// </summary>
    public static void LoadWithTorchSharp()
    {
        if (Interlocked.Exchange(ref s_registered, 1) == 1)
            return;
        AssemblyLoadContext.Default.ResolvingUnmanagedDll += (_, name) => name switch
        {
            "torch_cpu" => s_loaded.Value.Cpu,
            "LibTorchSharp" => s_loaded.Value.Binding,
            _ => 0,
        };
        AppDomain.CurrentDomain.AssemblyLoad += (_, loaded) =>
        {
            if (loaded.LoadedAssembly.GetName().Name == "TorchSharp")
                LoadOrExit();
        };
        if (AppDomain.CurrentDomain.GetAssemblies().Any(assembly => assembly.GetName().Name == "TorchSharp"))
            LoadOrExit();
    }

    /// <summary>Whether this CPU multiplies in bf16 by instructions of its own (AVX512-BF16 or AMX-BF16): without them such products are far slower than in fp32.</summary>
    public static bool CpuHasBf16 { get; } = X86Base.IsSupported && Avx512F.IsSupported
        && ((X86Base.CpuId(7, 1).Eax >> 5 & 1) == 1 || (X86Base.CpuId(7, 0).Edx >> 22 & 1) == 1);

    /// <summary>Makes sure that libtorch has CUDA and a GPU.</summary>
    /// <exception cref="TorchUnavailableException">It has not: with the reason and the remedy.</exception>
    public static void RequireCuda()
    {
        var (_, cuda, _, _, error) = s_loaded.Value;
        if (cuda == 0)
            throw new TorchUnavailableException(error ?? "this libtorch is for the CPU only: set LIBTORCH to the torch folder of an installed PyTorch for CUDA " +
                "(python3 -c 'import os, torch; print(os.path.dirname(torch.__file__))'), or use --device cpu");
        if (!NativeLibrary.TryLoad("libcuda.so.1", out _))
            throw new TorchUnavailableException("no libcuda.so.1: NVIDIA's driver is not installed here; use --device cpu");
        if (!torch.cuda.is_available())
            throw new TorchUnavailableException("libtorch finds no usable GPU: see nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu");
    }

    /// <summary>The device of a text, <c>cpu</c>, <c>cuda</c> or <c>cuda:N</c>, which this machine must have.</summary>
    /// <exception cref="FormatException">It names none.</exception>
    /// <exception cref="TorchUnavailableException">It is not here: with its name, the reason and the remedy.</exception>
    public static Device RequireDevice(string text)
    {
        var device = torch.Device.Parse(text);
        if (device.type != DeviceType.CUDA)
            return device;
        try
        {
            RequireCuda();
        }
        catch (TorchUnavailableException e)
        {
            throw new TorchUnavailableException($"{text}: {e.Message}");
        }
        return device.index < torch.cuda.device_count()
            ? device
            : throw new TorchUnavailableException($"{text}: this machine has {torch.cuda.device_count()} CUDA devices; use --device cpu, or one from cuda:0 on");
    }

    /// <summary>The version of the libtorch in use: 2.10.</summary>
    public static Version Version => s_loaded.Value.Version;

    /// <summary>A function of libtorch_cpu.so.</summary>
    internal static nint CpuSymbol(string name) => NativeLibrary.GetExport(s_loaded.Value.Cpu, name);

    /// <summary>A function of libtorch_cuda.so.</summary>
    internal static nint CudaSymbol(string name)
    {
        RequireCuda();
        return NativeLibrary.GetExport(s_loaded.Value.Cuda, name);
    }

    /// <summary>A function of libLibTorchSharp.so.</summary>
    internal static nint BindingSymbol(string name) => NativeLibrary.GetExport(s_loaded.Value.Binding, name);

    private static void LoadOrExit()
    {
        try
        {
            Load();
        }
        catch (TorchUnavailableException e)
        {
            // The runtime drops what a handler throws, and TorchSharp would go on to copy a package beside itself and to print a trace.
            Console.Error.WriteLine(e.Message);
            Environment.Exit(2);
        }
    }

    private static (nint, nint, nint, Version, string?) LoadAll()
    {
        // glibc gives every block of more than 128 KB back to the kernel when it is freed, so each tensor would be faulted in page by
        // page again: a third of the time of a small model. One arena keeps up to half a gigabyte for the next operator instead.
        // The runtime's first threads have arenas by now, which others get too: what starts a server sets MALLOC_ARENA_MAX besides.
        _ = (mallopt(MaxArenas, 1), mallopt(MmapThreshold, 32 << 20), mallopt(TrimThreshold, 512 << 20));
        // Between two operators OpenMP's threads spin, by default for milliseconds, and take the cores from our own threads and from other
        // processes: an operator then waits for a thread that has no core. libgomp reads this when it is loaded, so .NET's copy will not do.
        if (Environment.GetEnvironmentVariable("OMP_WAIT_POLICY") is null)
            _ = setenv("GOMP_SPINCOUNT", "1000", overwrite: 0);
        // MKL keeps the buffers of its products: 150 MB for a window of 2048 tokens, which costs more in page faults than it saves.
        _ = setenv("MKL_DISABLE_FAST_MM", "1", overwrite: 0);
        var folder = Find(AppContext.BaseDirectory);
        var torch = Environment.GetEnvironmentVariable("LIBTORCH") is { Length: > 0 } named ? Path.Combine(named, "lib") : folder;
        if (!File.Exists(Path.Combine(torch, Cpu)))
            throw new TorchUnavailableException($"no {Path.Combine(torch, Cpu)}: LIBTORCH must name the torch folder of an installed PyTorch; unset it to use the CPU");
        var cpu = LoadFile(Path.Combine(torch, Cpu));
        var version = VersionOf(cpu);
        if (!s_versions.Contains(version))
            throw new TorchUnavailableException($"{torch} has libtorch {version}; this program works with {string.Join(" and ", (object[])s_versions)}");
        var (cuda, error) = ((nint)0, (string?)null);
        if (Path.Combine(torch, "libtorch_cuda.so") is var file && File.Exists(file))
        {
            try
            {
                cuda = LoadFile(file);
            }
            catch (TorchUnavailableException e)
            {
                // Without the driver's libraries the CPU still works.
                error = e.Message;
            }
        }
        LoadFile(Path.Combine(torch, "libtorch.so"));
        var binding = LoadBinding(Path.Combine(folder, Binding));
        ScalarFix.Install(binding);
        return (cpu, cuda, binding, version, error);
    }

    /// <summary>The nearest folder with the binding, from one upwards.</summary>
    internal static string Find(string start)
    {
        for (var at = new DirectoryInfo(start); at is not null; at = at.Parent)
            foreach (var name in new[] { "libtorch", "out/libtorch" })
                if (Path.Combine(at.FullName, name) is var folder && File.Exists(Path.Combine(folder, Binding)))
                    return folder;
        throw new TorchUnavailableException($"no libtorch/{Binding} beside {start} or above it: make build puts it at out/libtorch, and make install beside the program");
    }

    private static Version VersionOf(nint cpu)
    {
        var abi = NativeLibrary.TryGetExport(cpu, "aoti_torch_abi_version", out var of) ? ((delegate* unmanaged<ulong>)of)() : 0;
        return new((int)(abi >> 56), (int)(abi >> 48 & 255));
    }

    private static nint LoadFile(string path)
    {
        try
        {
            return NativeLibrary.Load(path);
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            throw new TorchUnavailableException($"{path} could not be loaded: {Reason(e)}");
        }
    }

    /// <summary>The binding, or a copy of it that does not insist on the version it does not use (docs/decisions).</summary>
    internal static nint LoadBinding(string path)
    {
        try
        {
            return NativeLibrary.Load(path);
        }
        catch (DllNotFoundException e) when (e.Message.Contains(UnusedVersion, StringComparison.Ordinal))
        {
            return LoadFile(Weakened(path, CacheFolder()));
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            throw new TorchUnavailableException($"{path} could not be loaded: {Reason(e)}. It needs Debian 12, Ubuntu 24.04 or later on x86-64");
        }
    }

    private static string CacheFolder() => Path.Combine(Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } cache && Path.IsPathRooted(cache)
        ? cache
        : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile) is { Length: > 0 } home ? home : Path.GetTempPath(), ".cache"), "qbb");

    /// <summary>The file of a library in which <see cref="UnusedVersion"/> is weak: beside it, or in a cache where the folder cannot be written.</summary>
    internal static string Weakened(string path, string cache)
    {
        var bytes = File.ReadAllBytes(path);
        var name = $"{Path.GetFileName(path)}.{Convert.ToHexStringLower(SHA256.HashData(bytes))[..16]}";
        MarkWeak(bytes, UnusedVersion);
        IOException? failure = null;
        foreach (var folder in new[] { Path.GetDirectoryName(path)!, cache, Path.Combine(Path.GetTempPath(), "qbb-" + Environment.UserName) })
        {
            var file = Path.Combine(folder, name);
            try
            {
                if (File.Exists(file) && File.ReadAllBytes(file).AsSpan().SequenceEqual(bytes))
                    return file;
                Directory.CreateDirectory(folder);
                var draft = $"{file}.{Guid.NewGuid():n}";
                File.WriteAllBytes(draft, bytes);
                File.Move(draft, file, overwrite: true);
                return file;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                failure = new IOException(e.Message, e);
            }
        }
        throw new TorchUnavailableException($"{path} needs a copy that fits this machine's libstdc++, and neither its folder nor {cache} can be written: {failure!.Message}");
    }

    /// <summary>Sets VER_FLG_WEAK on a version that an ELF file (64 bits, little-endian) needs; true where it asks for it.</summary>
    internal static bool MarkWeak(Span<byte> file, string version)
    {
        const int sectionSize = 64, needsSection = 0x6ffffffe;
        const byte weak = 2;
        var found = false;
        var sections = Long(file, 0x28);
        for (var k = 0; k < Short(file, 0x3c); k++)
        {
            var section = sections + sectionSize * k;
            if (Int(file, section + 4) != needsSection)
                continue;
            var names = Long(file, sections + sectionSize * Int(file, section + 40) + 24);
            for (var need = Long(file, section + 24); ; need += Int(file, need + 12))
            {
                var entry = need + Int(file, need + 8);
                for (var left = Short(file, need + 2); left > 0; left--, entry += Int(file, entry + 12))
                {
                    var name = file[(names + Int(file, entry + 8))..];
                    if (Encoding.ASCII.GetString(name[..name.IndexOf((byte)0)]) == version)
                    {
                        file[entry + 4] |= weak;
                        found = true;
                    }
                }
                if (Int(file, need + 12) == 0)
                    break;
            }
        }
        return found;
    }

    private static int Long(ReadOnlySpan<byte> file, int at) => checked((int)BinaryPrimitives.ReadInt64LittleEndian(file[at..]));
    private static int Int(ReadOnlySpan<byte> file, int at) => BinaryPrimitives.ReadInt32LittleEndian(file[at..]);
    private static int Short(ReadOnlySpan<byte> file, int at) => BinaryPrimitives.ReadUInt16LittleEndian(file[at..]);

    private static string Reason(Exception e) => e.Message.Split('\n')[0];

    private const int TrimThreshold = -1, MmapThreshold = -3, MaxArenas = -8;

    [LibraryImport("libc")]
    private static partial int mallopt(int parameter, int value);

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int setenv(string name, string value, int overwrite);
}
