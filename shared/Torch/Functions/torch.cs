using System.Runtime.InteropServices;
using Qbb.Torch.Interop;

namespace Qbb.Torch;

/// <summary>PyTorch's functions under PyTorch's names, bound to libtorch.</summary>
public static unsafe partial class torch
{
    /// <summary>libtorch's version: <c>1.13.1</c>.</summary>
    public static string version => Marshal.PtrToStringUTF8((nint)NativeMethods.qbb_version())!;

    /// <summary>Begins a scope on this thread that disposes of the tensors made within it.</summary>
    public static DisposeScope NewDisposeScope() => new();

    /// <summary>Stops the recording of gradients on this thread until disposed.</summary>
    public static GradMode no_grad() => new(false);

    /// <summary>Resumes the recording of gradients within a no_grad scope.</summary>
    public static GradMode enable_grad() => new(true);

    public static bool is_grad_enabled() => NativeMethods.qbb_grad_enabled() != 0;

    /// <summary>Threads that libtorch's loops and OpenBLAS use for one operator.</summary>
    public static int get_num_threads() => NativeMethods.qbb_get_num_threads();

    public static void set_num_threads(int count) => NativeMethods.qbb_set_num_threads(count);

    /// <summary>
    /// Null when matrix products on the CPU run at speed; else why not and what mends it. Debian's libtorch uses the system's BLAS, and
    /// the reference BLAS is some 60 times slower than OpenBLAS. Needs one matrix product to have run (this call makes one).
    /// </summary>
    public static string? slow_blas()
    {
        using (NewDisposeScope())
            matmul(ones([8, 8]), ones([8, 8]));
        const string maps = "/proc/self/maps";
        if (!File.Exists(maps) || File.ReadLines(maps).Any(line => line.Contains("openblas", StringComparison.Ordinal)
            || line.Contains("mkl", StringComparison.Ordinal) || line.Contains("blis", StringComparison.Ordinal)
            || line.Contains("/torch/lib/", StringComparison.Ordinal)))
            return null;
        return "matrix products run on the reference BLAS, some 60 times slower than needed. Install OpenBLAS: apt-get install -y libopenblas0-pthread";
    }

    /// <summary>A copy of managed memory under the given sizes (all of it in one dimension when none are given).</summary>
    public static Tensor tensor<T>(ReadOnlySpan<T> values, params long[] sizes) where T : unmanaged
    {
        var result = empty(sizes.Length == 0 ? [values.Length] : sizes, ScalarTypeExtensions.Of<T>());
        if (result.numel() != values.Length)
            throw new ArgumentException($"{values.Length} values do not fill {result.Describe()}");
        values.CopyTo(result.data<T>());
        return result;
    }

    public static Tensor tensor<T>(T[] values, params long[] sizes) where T : unmanaged => tensor((ReadOnlySpan<T>)values, sizes);

    /// <summary>A tensor of no dimensions.</summary>
    public static Tensor scalar(Scalar value, ScalarType dtype = ScalarType.Float32, Device? device = null) => full([], value, dtype, device);

    /// <summary>A zero-copy view of a managed array, which stays pinned while any tensor uses its memory.</summary>
    public static Tensor from_array<T>(T[] values, params long[] sizes) where T : unmanaged
    {
        var shape = sizes.Length == 0 ? [values.Length] : sizes;
        if (shape.Aggregate(1L, (a, b) => a * b) != values.Length)
            throw new ArgumentException($"{values.Length} values do not fill [{string.Join(", ", shape)}]");
        var pin = GCHandle.Alloc(values, GCHandleType.Pinned);
        return from_blob((void*)pin.AddrOfPinnedObject(), shape, ScalarTypeExtensions.Of<T>(), new PinnedArray(pin));
    }

    /// <summary>
    /// A zero-copy view of memory on the CPU, such as a memory-mapped file. <paramref name="owner"/> is kept alive while any tensor
    /// uses the memory and disposed, if it is disposable, after the last.
    /// </summary>
    public static Tensor from_blob(void* data, long[] sizes, ScalarType dtype, object? owner = null)
    {
        var state = GCHandle.ToIntPtr(GCHandle.Alloc(owner));
        nint result;
        fixed (long* shape = sizes)
            NativeMethods.Check(NativeMethods.qbb_from_blob(data, shape, sizes.Length, (int)dtype, state, &ReleaseOwner, out result), "torch.from_blob");
        return new Tensor(result);
    }

    [UnmanagedCallersOnly]
    private static void ReleaseOwner(nint state)
    {
        var handle = GCHandle.FromIntPtr(state);
        (handle.Target as IDisposable)?.Dispose();
        handle.Free();
    }

    private sealed class PinnedArray(GCHandle pin) : IDisposable
    {
        public void Dispose() => pin.Free();
    }

    /// <summary>CUDA devices.</summary>
    public static class cuda
    {
        public static bool is_available() => device_count() > 0;
        public static int device_count() => NativeMethods.qbb_cuda_device_count();

        /// <summary>Waits until the device has done all that was queued.</summary>
        public static void synchronize(int index = 0) => NativeMethods.Check(NativeMethods.qbb_cuda_synchronize(index), "torch.cuda.synchronize");

        /// <summary>The cudaStream_t on which libtorch queues work, for kernels of one's own.</summary>
        public static nint current_stream(int index = 0)
        {
            NativeMethods.Check(NativeMethods.qbb_cuda_stream(index, out var stream), "torch.cuda.current_stream");
            return stream;
        }
    }
}
