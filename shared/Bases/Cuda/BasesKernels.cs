using Qbb.Torch.Cuda;

namespace Qbb.Bases.Cuda;

/// <summary>The sources of this folder, ready to be compiled.</summary>
internal static class BasesKernels
{
    /// <summary>What stands between device.cu and the kernel; the tests put something else in device.cu's place.</summary>
    public const string EndOfDevice = "// ---- kernel ----\n";

    private static readonly Lazy<string> s_device = new(() => Read("device.cu"));

    /// <summary>A kernel's source behind device.cu.</summary>
    public static KernelSource Source(string file, params IReadOnlyList<string> options) =>
        new(file, s_device.Value + EndOfDevice + Read(file), options);

    private static string Read(string file) => KernelSource.Embedded(typeof(BasesKernels).Assembly, file).Code;
}
