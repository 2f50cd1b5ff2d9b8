using System.Runtime.InteropServices;

namespace Qbb.Cuda;

/// <summary>Finds shared libraries that are no part of the system: by name, and in the folders where PyTorch's wheels keep NVIDIA's.</summary>
internal static class NativeLibraries
{
    private static readonly string[] s_packages = ["nvidia/cu13/lib", "nvidia/cuda_nvrtc/lib", "nvidia/cu12/lib"];

    /// <summary>Loads the first of the names that is found, each first by the loader's own rules.</summary>
    public static bool TryLoad(IReadOnlyList<string> names, IReadOnlyList<string> folders, out nint library)
    {
        foreach (var name in names)
        {
            if (NativeLibrary.TryLoad(name, out library))
                return true;
            foreach (var folder in folders)
                if (File.Exists(Path.Combine(folder, name)) && NativeLibrary.TryLoad(Path.Combine(folder, name), out library))
                    return true;
        }
        library = 0;
        return false;
    }

    /// <summary>Where NVIDIA's libraries may lie: beside libtorch, in the packages that PyTorch's wheel depends on, in a toolkit.</summary>
    public static IReadOnlyList<string> Folders()
    {
        var folders = new List<string>();
        var torch = LoadedFolder("libtorch_cuda.so") ?? LoadedFolder("libtorch_cpu.so");
        if (torch is not null)
        {
            folders.Add(torch);
            var site = Path.GetFullPath(Path.Combine(torch, "..", ".."));
            folders.AddRange(s_packages.Select(package => Path.Combine(site, package)));
        }
        if (Environment.GetEnvironmentVariable("CUDA_HOME") is { Length: > 0 } home)
            folders.Add(Path.Combine(home, "lib64"));
        folders.Add("/usr/local/cuda/lib64");
        return folders;
    }

    /// <summary>Folder of a library that this process has mapped.</summary>
    private static string? LoadedFolder(string name)
    {
        if (!File.Exists("/proc/self/maps"))
            return null;
        foreach (var line in File.ReadLines("/proc/self/maps"))
            if (line.EndsWith("/" + name, StringComparison.Ordinal))
                return Path.GetDirectoryName(line[line.IndexOf('/')..]);
        return null;
    }
}
