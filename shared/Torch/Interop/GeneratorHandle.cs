using Microsoft.Win32.SafeHandles;

namespace Qbb.Torch.Interop;

/// <summary>Owns one <c>at::Generator*</c>.</summary>
internal sealed class GeneratorHandle : SafeHandleZeroOrMinusOneIsInvalid
{
    internal GeneratorHandle(nint pointer) : base(true) => SetHandle(pointer);

    protected override bool ReleaseHandle()
    {
        NativeMethods.qbb_generator_free(handle);
        return true;
    }
}
