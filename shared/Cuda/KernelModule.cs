using System.Collections.Concurrent;

namespace Qbb.Cuda;

/// <summary>A compiled source on one GPU. Modules and kernels live as long as the process.</summary>
public sealed unsafe class KernelModule
{
    private static readonly ConcurrentDictionary<(int Device, string Key), Lazy<KernelModule>> s_modules = [];
    private readonly ConcurrentDictionary<string, Kernel> _kernels = [];
    private readonly nint _handle;
    private readonly string _name;

    private KernelModule(CudaDevice device, string name, byte[] image)
    {
        (Device, _name) = (device, name);
        device.MakeCurrent();
        nint handle;
        fixed (byte* data = image)
            Driver.Check(Driver.ModuleLoadData(&handle, data), $"cuModuleLoadData({name})");
        _handle = handle;
    }

    public CudaDevice Device { get; }

    /// <summary>A kernel by its <c>extern "C"</c> name.</summary>
    /// <exception cref="CudaException">The source has no such kernel.</exception>
    public Kernel this[string kernel] => _kernels.GetOrAdd(kernel, Find);

    /// <summary>Compiles a source for the device at first use, or takes it from the process or the disk; thread-safe.</summary>
    /// <param name="source">What to compile.</param>
    /// <param name="device">Where it shall run.</param>
    /// <param name="cache">Compiled images on disk; <see cref="KernelCache.Default"/> where null.</param>
    /// <exception cref="CudaException">No GPU, no compiler, or a source that does not compile (carries the log).</exception>
    public static KernelModule Load(KernelSource source, Device device, KernelCache? cache = null)
    {
        var gpu = CudaDevice.Get(device);
        var key = KernelCache.Key(source, gpu.Architecture, Nvrtc.Version);
        var module = s_modules.GetOrAdd((gpu.Index, key), _ => new(() => Make(source, gpu, key, cache ?? KernelCache.Default)));
        return module.Value;
    }

    /// <summary>A kernel of a source on a device: <see cref="KernelLoader"/> of GPUs.</summary>
    public static IKernel LoadKernel(KernelSource source, string kernel, Device device) => Load(source, device)[kernel];

    private static KernelModule Make(KernelSource source, CudaDevice device, string key, KernelCache cache)
    {
        if (cache.Find(key) is { } kept)
        {
            try
            {
                return new KernelModule(device, source.Name, kept);
            }
            catch (CudaException)
            {
                // The driver was exchanged for an older one, say: compiling anew gives the right answer or the right message.
            }
        }
        var image = Nvrtc.Compile(source, device.Architecture);
        var module = new KernelModule(device, source.Name, image);
        cache.Store(key, image);
        return module;
    }

    private Kernel Find(string kernel)
    {
        Device.MakeCurrent();
        nint function;
        var text = System.Text.Encoding.UTF8.GetBytes(kernel + '\0');
        fixed (byte* name = text)
            Driver.Check(Driver.ModuleGetFunction(&function, _handle, name), $"cuModuleGetFunction({_name}: {kernel})");
        return new Kernel(Device, kernel, function);
    }
}
