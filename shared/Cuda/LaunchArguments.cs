namespace Qbb.Cuda;

/// <summary>Lays out the arguments of a launch and refuses those that would make the kernel read what it should not.</summary>
internal static unsafe class LaunchArguments
{
    /// <summary>Writes each argument into a slot of 8 bytes: the driver reads as many of them as the parameter has.</summary>
    /// <param name="kernel">Name for messages.</param>
    /// <param name="device">Index of the GPU where the tensors must be.</param>
    /// <param name="sizes">Bytes of each parameter; null: not known.</param>
    /// <param name="arguments">The arguments.</param>
    /// <param name="values">One slot for each argument.</param>
    public static void Pack(string kernel, int device, int[]? sizes, ReadOnlySpan<KernelArgument> arguments, long* values)
    {
        if (sizes is not null && sizes.Length != arguments.Length)
            throw new ArgumentException($"kernel {kernel} takes {sizes.Length} arguments, not {arguments.Length}");
        for (var k = 0; k < arguments.Length; k++)
        {
            if (sizes is not null && sizes[k] != arguments[k].Size)
                throw new ArgumentException($"argument {k} of kernel {kernel} has {arguments[k].Size} bytes, its parameter {sizes[k]}");
            values[k] = arguments[k].Tensor is { } tensor ? Address(kernel, device, k, tensor) : arguments[k].Bits;
        }
    }

    private static long Address(string kernel, int device, int k, Tensor tensor)
    {
        if (tensor.device is not { type: DeviceType.CUDA } place || Math.Max(place.index, 0) != device)
            throw new ArgumentException($"argument {k} of kernel {kernel}, {tensor.Describe()}, is on {tensor.device}, not on cuda:{device}");
        if (!tensor.is_contiguous())
            throw new ArgumentException($"argument {k} of kernel {kernel}, {tensor.Describe()}, is not contiguous");
        return tensor.data_ptr();
    }
}
