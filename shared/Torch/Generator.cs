using Qbb.Torch.Interop;

namespace Qbb.Torch;

/// <summary>A seeded source of random numbers of one device. Not thread-safe.</summary>
public sealed class Generator : IDisposable
{
    private readonly GeneratorHandle _handle;

    public Generator(ulong seed, Device? device = null)
    {
        device ??= Device.CPU;
        NativeMethods.Check(NativeMethods.qbb_generator_new((int)device.Type, device.Index, seed, out var pointer), "torch.Generator");
        _handle = new GeneratorHandle(pointer);
    }

    internal nint Pointer => _handle.IsClosed ? throw new ObjectDisposedException(nameof(Generator)) : _handle.DangerousGetHandle();

    public void Dispose() => _handle.Dispose();
}
