using Microsoft.Win32.SafeHandles;

namespace Qbb.Torch.Interop;

/// <summary>Owns one <c>at::Tensor*</c>.</summary>
internal sealed class TensorHandle : SafeHandleZeroOrMinusOneIsInvalid
{
    internal TensorHandle(nint pointer) : base(true) => SetHandle(pointer);

    protected override bool ReleaseHandle()
    {
        NativeMethods.qbb_tensor_free(handle);
        return true;
    }
}
