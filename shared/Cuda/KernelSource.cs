using System.Collections.Concurrent;
using System.Reflection;

namespace Qbb.Cuda;

/// <summary>CUDA C++ of one or more kernels. Kernels are <c>extern "C" __global__</c>, so that they are found by their plain name.</summary>
/// <param name="Name">What the compiler calls the source in its messages.</param>
/// <param name="Code">The source; it includes nothing, since a user's machine need not have CUDA's headers.</param>
/// <param name="Options">Options of NVRTC beside the architecture: <c>-DBASES=4</c>, <c>--use_fast_math</c>.</param>
public sealed record KernelSource(string Name, string Code, params IReadOnlyList<string> Options)
{
    private static readonly ConcurrentDictionary<(Assembly, string), string> s_read = [];

    /// <summary>Reads a source that is embedded in an assembly.</summary>
    /// <param name="assembly">The assembly that holds it.</param>
    /// <param name="file">The last part of the resource's name: <c>alternating.cu</c>.</param>
    /// <param name="options">As <see cref="Options"/>.</param>
    public static KernelSource Embedded(Assembly assembly, string file, params IReadOnlyList<string> options) => new(file, Read(assembly, file), options);

    /// <summary>Joins sources that are embedded in an assembly; the compiler's messages name each by its own lines.</summary>
    /// <param name="assembly">The assembly that holds them.</param>
    /// <param name="files">The last part of each resource's name, such as <c>alternating.cu</c>; what others stand on comes first.</param>
    /// <param name="options">As <see cref="Options"/>.</param>
    public static KernelSource Embedded(Assembly assembly, IReadOnlyList<string> files, params IReadOnlyList<string> options) =>
        new(files[^1], string.Concat(files.Select(file => $"#line 1 \"{file}\"\n{Read(assembly, file)}\n")), options);

    /// <summary>All that the compiler is told.</summary>
    public IReadOnlyList<string> CompilerOptions(string architecture) => [$"--gpu-architecture={architecture}", "--std=c++17", .. Options];

    private static string Read(Assembly assembly, string file) => s_read.GetOrAdd((assembly, file), static key =>
    {
        var (from, name) = key;
        var resource = from.GetManifestResourceNames().FirstOrDefault(other => other == name || other.EndsWith("." + name, StringComparison.Ordinal))
            ?? throw new ArgumentException($"{from.GetName().Name} has no resource {name}", nameof(file));
        using var reader = new StreamReader(from.GetManifestResourceStream(resource)!);
        return reader.ReadToEnd();
    });
}
