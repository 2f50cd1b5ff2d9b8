using Qbb.Torch.Interop;

namespace Qbb.Torch.Cuda;

/// <summary>
/// A stream of libtorch's pool, other than the legacy default one, which cannot be captured into a graph. While <see cref="Use"/>'s result
/// lives, this thread's work on the device, libtorch's and ours, goes to it.
/// </summary>
public sealed class CudaStream
{
    private readonly int _device;
    private readonly long _id;

    /// <summary>Takes a stream of the device from the pool.</summary>
    public CudaStream(Device device)
    {
        _device = Math.Max(device.Index, 0);
        NativeMethods.Check(NativeMethods.qbb_cuda_pool_stream(_device, out _id), "torch.cuda.Stream");
    }

    /// <summary>Makes the stream this thread's current one until the result is disposed. It does not wait for work queued elsewhere: synchronise first.</summary>
    public IDisposable Use()
    {
        NativeMethods.Check(NativeMethods.qbb_cuda_exchange_stream(_device, _id, out var previous), "torch.cuda.stream");
        return new Restored(_device, previous);
    }

    private sealed class Restored(int device, long previous) : IDisposable
    {
        private bool _done;

        public void Dispose()
        {
            if (_done)
                return;
            _done = true;
            NativeMethods.Check(NativeMethods.qbb_cuda_exchange_stream(device, previous, out _), "torch.cuda.stream");
        }
    }
}
