using System.Collections.Concurrent;
using System.Reflection;

namespace Qbb.Cuda;

/// <summary>
/// Kernels over tensors of one floating-point type: an embedded source behind elements.cu, compiled for each type, device and set of
/// options at first use.
/// </summary>
/// <param name="assembly">Holds the source.</param>
/// <param name="file">The last part of its name: <c>decoder.cu</c>.</param>
public sealed class ElementKernels(Assembly assembly, string file)
{
    private readonly ConcurrentDictionary<(int Device, ScalarType Type, string Options), KernelModule> _modules = [];

    /// <summary>Whether such kernels can work on a tensor: f16, bf16 or f32 on a GPU, with a compiler at hand.</summary>
    public static bool Serve(Tensor x) => x.device_type == DeviceType.CUDA && s_hasCompiler.Value && Serve(x.dtype);

    /// <summary>The kernels for tensors like one.</summary>
    /// <param name="x">Gives device and type.</param>
    /// <param name="options">Options of the compiler, set apart by blanks: <c>-DBASES=3</c>.</param>
    public KernelModule For(Tensor x, string options = "") => For(x.device, x.dtype, options);

    /// <inheritdoc cref="For(Tensor, string)"/>
    public KernelModule For(Device device, ScalarType dtype, string options = "") =>
        _modules.GetOrAdd((Math.Max(device.index, 0), dtype, options), key => KernelModule.Load(Source(key.Type, key.Options), device));

    private static readonly Lazy<bool> s_hasCompiler = new(Nvrtc.IsAvailable);

    private static bool Serve(ScalarType type) => type is ScalarType.Float16 or ScalarType.BFloat16 or ScalarType.Float32;

    /// <summary>What is compiled for a type.</summary>
    public KernelSource Source(ScalarType type, string options = "")
    {
        if (!Serve(type))
            throw new ArgumentException($"{file} is not written for {type.ShortName()}", nameof(type));
        var elements = KernelSource.Embedded(typeof(ElementKernels).Assembly, "elements.cu").Code;
        var own = KernelSource.Embedded(assembly, file).Code;
        return new KernelSource(file, $"{elements}\n{own}", [$"-DELEMENT={(int)type}", .. options.Split(' ', StringSplitOptions.RemoveEmptyEntries)]);
    }
}
