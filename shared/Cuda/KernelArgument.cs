namespace Qbb.Cuda;

/// <summary>One argument of a kernel: a tensor's data pointer or a number. Converts from the types that kernels take.</summary>
public readonly struct KernelArgument
{
    private KernelArgument(long bits, int size, Tensor? owner = null) => (Bits, Size, Owner) = (bits, size, owner);

    /// <summary>The value in the low bytes; 0 for a tensor.</summary>
    public long Bits { get; }
    /// <summary>Bytes that the kernel's parameter must have.</summary>
    public int Size { get; }
    /// <summary>What lives until the kernel is queued: the tensor, or the one into which the pointer points.</summary>
    public Tensor? Owner { get; }
    /// <summary>The tensor whose data pointer is the value, or null.</summary>
    public Tensor? Tensor => Bits == 0 ? Owner : null;

    /// <summary>A contiguous tensor on the kernel's device; null gives a null pointer.</summary>
    public static implicit operator KernelArgument(Tensor? tensor) => new(0, 8, tensor);
    public static implicit operator KernelArgument(int value) => new((uint)value, 4);
    public static implicit operator KernelArgument(uint value) => new(value, 4);
    public static implicit operator KernelArgument(long value) => new(value, 8);
    public static implicit operator KernelArgument(ulong value) => new((long)value, 8);
    public static implicit operator KernelArgument(float value) => new(BitConverter.SingleToUInt32Bits(value), 4);
    public static implicit operator KernelArgument(double value) => new(BitConverter.DoubleToInt64Bits(value), 8);

    /// <summary>A device pointer into a tensor, or one that the caller answers for: it must live until the kernel has run.</summary>
    public static KernelArgument Pointer(nint pointer, Tensor? owner = null) => new(pointer, 8, owner);
}
