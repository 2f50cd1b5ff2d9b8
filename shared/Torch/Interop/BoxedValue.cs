using System.Runtime.InteropServices;

namespace Qbb.Torch.Interop;

/// <summary>Mirror of <c>qbb_value</c>: one tagged argument or result of a dispatcher call.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
internal struct BoxedValue
{
    [FieldOffset(0)] public ValueTag Tag;
    [FieldOffset(4)] public int Length;
    [FieldOffset(8)] public long Integer;
    [FieldOffset(8)] public double Real;
    [FieldOffset(8)] public nint Pointer;
}
