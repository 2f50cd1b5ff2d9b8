using Qbb.Torch.Interop;

namespace Qbb.Torch;

/// <summary>Switches the recording of gradients on this thread until it is disposed.</summary>
public readonly struct GradMode : IDisposable
{
    private readonly bool _before;

    internal GradMode(bool enabled)
    {
        _before = NativeMethods.qbb_grad_enabled() != 0;
        NativeMethods.qbb_set_grad_enabled(enabled ? 1 : 0);
    }

    public void Dispose() => NativeMethods.qbb_set_grad_enabled(_before ? 1 : 0);
}
