namespace Qbb.Cuda;

/// <summary>
/// A stream other than the legacy default one, which cannot be captured into a graph. While <see cref="Use"/>'s result lives, this thread's
/// work on the device, libtorch's and ours, goes to it. Streams live as long as the process, as libtorch's do.
/// </summary>
public sealed unsafe class CudaStream
{
    private const uint NonBlocking = 1;
    private static readonly delegate* unmanaged<int, nint*, int> s_current = (delegate* unmanaged<int, nint*, int>)Natives.CudaSymbol("aoti_torch_get_current_cuda_stream");
    private static readonly delegate* unmanaged<nint, int, nint*, int> s_guard = (delegate* unmanaged<nint, int, nint*, int>)Natives.CudaSymbol("aoti_torch_create_cuda_stream_guard");
    private static readonly delegate* unmanaged<nint, int> s_release = (delegate* unmanaged<nint, int>)Natives.CudaSymbol("aoti_torch_delete_cuda_stream_guard");
    private readonly int _device;
    private readonly nint _handle;

    /// <summary>Makes a stream on the device.</summary>
    public CudaStream(Device device)
    {
        var gpu = CudaDevice.Get(device);
        gpu.MakeCurrent();
        nint handle;
        Driver.Check(Driver.StreamCreate(&handle, NonBlocking), "cuStreamCreate");
        (_device, _handle) = (gpu.Index, handle);
    }

    /// <summary>The cudaStream_t on which libtorch queues this thread's work of a device.</summary>
    public static nint Current(int device)
    {
        nint stream;
        Check(s_current(device, &stream), "the current stream");
        return stream;
    }

    /// <summary>Makes the stream this thread's current one until the result is disposed. It does not wait for work queued elsewhere: synchronise first.</summary>
    public IDisposable Use()
    {
        nint guard;
        Check(s_guard(_handle, _device, &guard), "a stream guard");
        return new Restored(guard);
    }

    private static void Check(int code, string what)
    {
        if (code != 0)
            throw new CudaException("CUDA", $"libtorch refused {what}; see standard error for the reason");
    }

    private sealed class Restored(nint guard) : IDisposable
    {
        private bool _done;

        public void Dispose()
        {
            if (_done)
                return;
            _done = true;
            Check(s_release(guard), "to end a stream guard");
        }
    }
}
