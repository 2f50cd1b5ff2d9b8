using System.Reflection;

namespace Qbb.Torch.Cuda;

/// <summary>Sources that are written against device.cu, the few instructions that kernels use, which a test can put something else in place of.</summary>
public static class DeviceSource
{
    /// <summary>What stands between device.cu and the kernel.</summary>
    public const string End = "// ---- kernel ----\n";

    private static readonly Lazy<string> s_device = new(() => KernelSource.Embedded(typeof(DeviceSource).Assembly, "device.cu").Code);

    /// <summary>An embedded source behind device.cu.</summary>
    /// <param name="assembly">Holds the source.</param>
    /// <param name="file">The last part of its name.</param>
    /// <param name="options">Options of the compiler.</param>
    public static KernelSource Of(Assembly assembly, string file, params IReadOnlyList<string> options) =>
        new(file, s_device.Value + End + KernelSource.Embedded(assembly, file).Code, options);
}
