using System.Collections.Concurrent;
using System.Runtime.InteropServices;

namespace Qbb.LibTorch;

/// <summary>What TorchSharp lacks, under PyTorch's names where PyTorch has it.</summary>
public static unsafe class TorchExtensions
{
    private static readonly ConcurrentDictionary<nint, ConcurrentStack<GCHandle>> s_owners = [];

    private static readonly delegate* unmanaged<nint, delegate* unmanaged<nint, void>, long*, int, sbyte, sbyte, int, int, byte, nint> s_new =
        (delegate* unmanaged<nint, delegate* unmanaged<nint, void>, long*, int, sbyte, sbyte, int, int, byte, nint>)Natives.BindingSymbol("THSTensor_new");

    private static readonly delegate* unmanaged<nint, nint*, int> s_data = (delegate* unmanaged<nint, nint*, int>)Natives.CpuSymbol("aoti_torch_get_data_ptr");

    extension(torch)
    {
        /// <summary>A copy of managed memory under the given sizes (all of it in one dimension when none are given).</summary>
        public static Tensor tensor<T>(ReadOnlySpan<T> values, params ReadOnlySpan<long> sizes) where T : unmanaged
        {
            var result = torch.empty(sizes.Length == 0 ? [values.Length] : sizes, TypeOf<T>());
            if (result.numel() != values.Length)
                throw new ArgumentException($"{values.Length} values do not fill {result.Describe()}");
            values.CopyTo(result.AsSpan<T>());
            return result;
        }

        /// <inheritdoc cref="tensor{T}(ReadOnlySpan{T}, ReadOnlySpan{long})"/>
        public static Tensor tensor<T>(T[] values, params ReadOnlySpan<long> sizes) where T : unmanaged => torch.tensor((ReadOnlySpan<T>)values, sizes);

        /// <summary>A zero-copy view of a managed array, which stays pinned while any tensor uses its memory.</summary>
        public static Tensor from_array<T>(T[] values, params ReadOnlySpan<long> sizes) where T : unmanaged
        {
            long[] shape = sizes.Length == 0 ? [values.Length] : sizes.ToArray();
            if (shape.Aggregate(1L, (a, b) => a * b) != values.Length)
                throw new ArgumentException($"{values.Length} values do not fill [{string.Join(", ", shape)}]");
            if (values.Length == 0)
                return torch.empty(shape, TypeOf<T>());
            var pin = GCHandle.Alloc(values, GCHandleType.Pinned);
            return View((void*)pin.AddrOfPinnedObject(), shape, TypeOf<T>(), pin);
        }

        /// <summary>
        /// A zero-copy view of memory on the CPU, such as a memory-mapped file. <paramref name="owner"/> is kept alive while any tensor
        /// uses the memory. Views of one address must have owners that keep the same memory.
        /// </summary>
        public static Tensor from_blob(void* data, ReadOnlySpan<long> sizes, ScalarType dtype, object? owner = null) => View(data, sizes, dtype, GCHandle.Alloc(owner));

        /// <summary>y ← a · b, of [m, k] and [k, n], without memory of its own.</summary>
        public static void mm_out(Tensor a, Tensor b, Tensor y) => Dispatcher.CallVoid("aten::mm", "out", returns: true, a, b, y);

        /// <summary>a · b with sums and result in another type than the factors', on a GPU.</summary>
        public static Tensor mm(Tensor a, Tensor b, ScalarType out_dtype) => Dispatcher.Call("aten::mm", "dtype", a, b, out_dtype);

        /// <summary>a_k ⊙ b_k of equal shapes in a few launches for all of them.</summary>
        public static Tensor[] _foreach_mul(Tensor[] a, Tensor[] b) => Dispatcher.CallList("aten::_foreach_mul", "List", a, b);

        /// <summary>a_k ← b_k.</summary>
        public static void _foreach_copy_(Tensor[] a, Tensor[] b) => Dispatcher.CallVoid("aten::_foreach_copy_", "", returns: false, a, b, false);
    }

    extension(torch.nn.functional)
    {
        /// <summary>Rows of weight [V, d] by ids of any shape.</summary>
        public static Tensor embedding(Tensor ids, Tensor weight) => Dispatcher.Call("aten::embedding", "", weight, ids, -1L, false, false);

        /// <summary>
        /// softmax(scale · q kᵀ + mask) v in one fused kernel where there is one; queries, keys, values are [.., heads, n, d].
        /// With enable_gqa neighbouring heads of queries share a head of keys and values.
        /// </summary>
        public static Tensor scaled_dot_product_attention(
            Tensor query, Tensor key, Tensor value, Tensor? attn_mask, bool is_causal, double scale, bool enable_gqa) =>
            Dispatcher.Call("aten::scaled_dot_product_attention", "", query, key, value, Dispatcher.Argument.Optional(attn_mask), 0.0, is_causal,
                Dispatcher.Argument.Optional(scale), enable_gqa);
    }

    extension(Device)
    {
        /// <summary>Reads <c>cpu</c>, <c>cuda</c> or <c>cuda:N</c>; loads nothing.</summary>
        public static Device Parse(string text) => text switch
        {
            "cpu" => new(DeviceType.CPU),
            "cuda" => new(DeviceType.CUDA, 0),
            _ when text.StartsWith("cuda:", StringComparison.Ordinal) && int.TryParse(text.AsSpan(5), out var index) && index >= 0 => new(DeviceType.CUDA, index),
            _ => throw new FormatException($"'{text}' is not a device: use cpu, cuda or cuda:N"),
        };
    }

    extension(Tensor x)
    {
        /// <summary>Address of the first element, on the tensor's device.</summary>
        public nint data_ptr()
        {
            nint data;
            if (s_data(x.Handle, &data) != 0)
                throw new TorchException("data_ptr", x.Describe(), "the tensor has no memory");
            GC.KeepAlive(x);
            return data;
        }

        /// <summary>The elements in place. For contiguous tensors on the CPU only; valid while the tensor lives.</summary>
        public Span<T> AsSpan<T>() where T : unmanaged
        {
            if (x.device_type != DeviceType.CPU || !x.is_contiguous())
                throw new InvalidOperationException($"AsSpan<{typeof(T).Name}>() needs a contiguous tensor on the CPU, not {x.Describe()} on {x.device}");
            if (x.ElementSize != sizeof(T))
                throw new InvalidOperationException($"AsSpan<{typeof(T).Name}>() does not fit {x.Describe()}");
            return new Span<T>((void*)x.data_ptr(), checked((int)x.numel()));
        }

        /// <summary>A copy of the elements, row-major, from any device and layout; the element type must be that of the tensor.</summary>
        public T[] ToArray<T>() where T : unmanaged
        {
            using var scope = torch.NewDisposeScope();
            return x.detach().cpu().contiguous().AsSpan<T>().ToArray();
        }

        /// <summary>The same bytes as elements of another type.</summary>
        public Tensor view(ScalarType type) => Dispatcher.Call("aten::view", "dtype", x, type);

        /// <summary>Type and shape: <c>f32[2, 3]</c>.</summary>
        public string Describe() => x.IsInvalid ? "disposed" : $"{x.dtype.ShortName()}[{string.Join(", ", x.shape)}]";
    }

    extension(ScalarType type)
    {
        /// <summary>PyTorch's short spelling: <c>f32</c>.</summary>
        public string ShortName() => type switch
        {
            ScalarType.Byte => "u8",
            ScalarType.Int8 => "i8",
            ScalarType.Int16 => "i16",
            ScalarType.Int32 => "i32",
            ScalarType.Int64 => "i64",
            ScalarType.Float16 => "f16",
            ScalarType.Float32 => "f32",
            ScalarType.Float64 => "f64",
            ScalarType.BFloat16 => "bf16",
            _ => type.ToString().ToLowerInvariant(),
        };
    }

    private static Tensor View(void* data, ReadOnlySpan<long> sizes, ScalarType dtype, GCHandle owner)
    {
        s_owners.GetOrAdd((nint)data, _ => new()).Push(owner);
        nint handle;
        fixed (long* shape = sizes)
            handle = s_new((nint)data, &Release, shape, sizes.Length, (sbyte)dtype, (sbyte)dtype, (int)DeviceType.CPU, -1, 0);
        torch.CheckForErrors();
        return Tensor.UnsafeCreateTensor(handle);
    }

    [UnmanagedCallersOnly]
    private static void Release(nint data)
    {
        if (s_owners.TryGetValue(data, out var owners) && owners.TryPop(out var owner))
            owner.Free();
    }

    /// <summary>The element type that a managed array of <typeparamref name="T"/> holds.</summary>
    private static ScalarType TypeOf<T>() where T : unmanaged =>
        typeof(T) == typeof(float) ? ScalarType.Float32
        : typeof(T) == typeof(double) ? ScalarType.Float64
        : typeof(T) == typeof(long) ? ScalarType.Int64
        : typeof(T) == typeof(int) ? ScalarType.Int32
        : typeof(T) == typeof(short) ? ScalarType.Int16
        : typeof(T) == typeof(sbyte) ? ScalarType.Int8
        : typeof(T) == typeof(byte) ? ScalarType.Byte
        : typeof(T) == typeof(Half) ? ScalarType.Float16
        : typeof(T) == typeof(bool) ? ScalarType.Bool
        : throw new NotSupportedException($"tensors do not hold {typeof(T).Name}");
}
