using System.Runtime.InteropServices;
using Qbb.Torch.Interop;

namespace Qbb.Torch;

/// <summary>
/// A libtorch tensor. Names follow PyTorch's. A tensor belongs to the innermost <see cref="DisposeScope"/> of the thread that made it;
/// without one it lives until it is disposed or collected. Reading a tensor from several threads is safe, disposing it meanwhile is not.
/// </summary>
public sealed unsafe partial class Tensor : IDisposable
{
    private readonly TensorHandle _handle;
    internal DisposeScope? Scope;
    internal int ScopeSlot;
    private long[]? _shape;

    internal Tensor(nint pointer)
    {
        _handle = new TensorHandle(pointer);
        DisposeScope.Current?.Add(this);
    }

    internal nint Pointer => _handle.IsClosed ? throw new ObjectDisposedException(nameof(Tensor), "the tensor was disposed, perhaps by its scope") : _handle.DangerousGetHandle();

    /// <summary>Sizes, outermost first. The array must not be changed.</summary>
    public long[] shape => _shape ??= Sizes().Sizes;

    /// <summary>Steps between neighbours of each dimension, in elements.</summary>
    public long[] stride() => Sizes().Strides;

    public long size(int dimension) => shape[dimension < 0 ? dimension + shape.Length : dimension];
    public int dim() => shape.Length;
    public long numel() => Native(NativeMethods.qbb_tensor_numel(Pointer));
    public ScalarType dtype => (ScalarType)Native(NativeMethods.qbb_tensor_dtype(Pointer));

    public Device device
    {
        get
        {
            var type = (DeviceType)NativeMethods.qbb_tensor_device(Pointer, out var index);
            GC.KeepAlive(this);
            return type == DeviceType.CPU ? Device.CPU : new Device(type, index);
        }
    }

    public bool is_contiguous() => Native(NativeMethods.qbb_tensor_is_contiguous(Pointer)) != 0;

    /// <summary>Address of the first element, on the tensor's device.</summary>
    public nint data_ptr()
    {
        NativeMethods.Check(NativeMethods.qbb_tensor_data(Pointer, out var data), "tensor.data_ptr");
        GC.KeepAlive(this);
        return data;
    }

    /// <summary>The elements in place. For contiguous tensors on the CPU only; valid while the tensor lives.</summary>
    public Span<T> data<T>() where T : unmanaged
    {
        if (device.Type != DeviceType.CPU || !is_contiguous())
            throw new InvalidOperationException($"data<{typeof(T).Name}>() needs a contiguous tensor on the CPU, not {Describe()} on {device}");
        if (dtype.ElementSize() != sizeof(T))
            throw new InvalidOperationException($"data<{typeof(T).Name}>() does not fit {Describe()}");
        return new Span<T>((void*)data_ptr(), checked((int)numel()));
    }

    /// <summary>A copy of the elements, row-major, from any device and layout; the element type must be that of the tensor.</summary>
    public T[] to_array<T>() where T : unmanaged
    {
        using var scope = torch.NewDisposeScope();
        return detach().to(Device.CPU).contiguous().data<T>().ToArray();
    }

    /// <summary>The one element of a tensor, widened to double.</summary>
    public double item()
    {
        using var scope = torch.NewDisposeScope();
        return detach().to(ScalarType.Float64).to(Device.CPU).reshape(1).data<double>()[0];
    }

    public long item_int64()
    {
        using var scope = torch.NewDisposeScope();
        return detach().to(ScalarType.Int64).to(Device.CPU).reshape(1).data<long>()[0];
    }

    public bool requires_grad
    {
        get => Native(NativeMethods.qbb_tensor_requires_grad(Pointer)) != 0;
        set => NativeMethods.Check(NativeMethods.qbb_tensor_set_requires_grad(Pointer, value ? 1 : 0), "tensor.requires_grad_");
    }

    public Tensor requires_grad_(bool value = true)
    {
        requires_grad = value;
        return this;
    }

    /// <summary>The gradient that backward left, or null. Setting null frees it.</summary>
    public Tensor? grad
    {
        get
        {
            NativeMethods.Check(NativeMethods.qbb_tensor_grad(Pointer, out var gradient), "tensor.grad");
            GC.KeepAlive(this);
            return gradient == 0 ? null : new Tensor(gradient);
        }
        set
        {
            NativeMethods.Check(NativeMethods.qbb_tensor_set_grad(Pointer, value?.Pointer ?? 0), "tensor.grad");
            GC.KeepAlive(value);
        }
    }

    /// <summary>Adds the gradients of this tensor to those of the leaves it was calculated from.</summary>
    public void backward(Tensor? gradient = null, bool retain_graph = false)
    {
        NativeMethods.Check(NativeMethods.qbb_backward_run(Pointer, gradient?.Pointer ?? 0, retain_graph ? 1 : 0), "tensor.backward");
        GC.KeepAlive(gradient);
        GC.KeepAlive(this);
    }

    /// <summary>Takes the tensor out of its dispose scope: it lives until it is disposed or collected.</summary>
    public Tensor DetachFromDisposeScope()
    {
        Scope?.Remove(this);
        return this;
    }

    /// <summary>Hands the tensor to the scope around the innermost one.</summary>
    public Tensor MoveToOuterDisposeScope() => Scope?.MoveToOuter(this) ?? this;

    /// <summary>A second owned pointer to the same tensor.</summary>
    internal nint Alias() => Native(NativeMethods.qbb_tensor_alias(Pointer));

    /// <summary>A second handle on the same tensor that belongs to no dispose scope: what a backward function keeps.</summary>
    public Tensor Save() => new Tensor(Alias()).DetachFromDisposeScope();

    /// <summary>Type and shape: <c>f32[2, 3]</c>.</summary>
    public string Describe() => _handle.IsClosed ? "disposed" : $"{dtype.ShortName()}[{string.Join(", ", shape)}]";

    public override string ToString() => Describe();

    public void Dispose()
    {
        Scope?.Remove(this);
        _handle.Dispose();
    }

    private (long[] Sizes, long[] Strides) Sizes()
    {
        var count = NativeMethods.qbb_tensor_dim(Pointer);
        long[] sizes = new long[count], strides = new long[count];
        fixed (long* a = sizes, b = strides)
            NativeMethods.qbb_tensor_sizes(Pointer, a, b);
        GC.KeepAlive(this);
        return (sizes, strides);
    }

    private T Native<T>(T value)
    {
        GC.KeepAlive(this);
        return value;
    }
}
