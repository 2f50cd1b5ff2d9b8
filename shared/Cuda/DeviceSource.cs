using System.Reflection;

namespace Qbb.Cuda;

/// <summary>Sources that are written against device.cu, the few instructions that kernels use, which a test can put something else in place of.</summary>
public static class DeviceSource
{
    /// <summary>What stands between device.cu and the kernel.</summary>
    public const string End = "// ---- kernel ----\n";

    private static readonly Lazy<string> s_device = new(() => KernelSource.Embedded(typeof(DeviceSource).Assembly, "device.cu").Code);

    /// <summary>Embedded sources behind device.cu.</summary>
    /// <param name="assembly">Holds the sources.</param>
    /// <param name="files">The last parts of their names, as <see cref="KernelSource.Embedded(Assembly, IReadOnlyList{string}, IReadOnlyList{string})"/> joins them.</param>
    /// <param name="options">Options of the compiler.</param>
    public static KernelSource Of(Assembly assembly, IReadOnlyList<string> files, params IReadOnlyList<string> options)
    {
        var kernels = KernelSource.Embedded(assembly, files, options);
        return kernels with { Code = s_device.Value + End + kernels.Code };
    }
}
