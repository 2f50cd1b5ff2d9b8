using System.Diagnostics;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace Qbb.Cuda;

/// <summary>
/// A fixed sequence of launches, queued as one. It is libtorch's own at::cuda::CUDAGraph: what the captured work allocates comes from a pool
/// of the graph's, which no other work gets while the graph lives. What is left of the captured work's tensors holds the values of the last
/// replay. libtorch's C interface has no graphs, so the members of the C++ class are called by their mangled names (docs/decisions).
/// </summary>
public sealed unsafe class CudaGraph : IDisposable
{
    private const int Relaxed = 2, Active = 1;

    /// <summary>Room for the object, several times what libtorch 2.10 and 2.11 take (at most 200 bytes by their headers).</summary>
    private const int ObjectBytes = 4096;

    private static readonly delegate* unmanaged<nint, byte, void> s_create = (delegate* unmanaged<nint, byte, void>)Natives.CudaSymbol("_ZN2at4cuda9CUDAGraphC1Eb");
    private static readonly delegate* unmanaged<nint, void> s_destroy = (delegate* unmanaged<nint, void>)Natives.CudaSymbol("_ZN2at4cuda9CUDAGraphD1Ev");
    private static readonly delegate* unmanaged<nint, ulong, ulong, int, void> s_begin =
        (delegate* unmanaged<nint, ulong, ulong, int, void>)Natives.CudaSymbol("_ZN2at4cuda9CUDAGraph13capture_beginESt4pairIyyE21cudaStreamCaptureMode");
    private static readonly delegate* unmanaged<nint, void> s_end = (delegate* unmanaged<nint, void>)Natives.CudaSymbol("_ZN2at4cuda9CUDAGraph11capture_endEv");
    private static readonly delegate* unmanaged<nint, void> s_replay = (delegate* unmanaged<nint, void>)Natives.CudaSymbol("_ZN2at4cuda9CUDAGraph6replayEv");

    private readonly CudaDevice _device;
    private nint _graph;

    private CudaGraph(CudaDevice device, nint graph) => (_device, _graph) = (device, graph);

    /// <summary>
    /// Records what <paramref name="work"/> queues on this thread's current stream, which must come from <see cref="CudaStream.Use"/>; a backward
    /// pass belongs to it, though libtorch runs it on a thread of its own. Run the work once before: what is compiled or made at the first use
    /// cannot be captured.
    /// </summary>
    /// <exception cref="CudaException">The current stream is the legacy default one, or the work did what a graph cannot hold.</exception>
    public static CudaGraph Capture(Device device, Action work)
    {
        var gpu = CudaDevice.Get(device);
        gpu.MakeCurrent();
        var stream = CudaStream.Current(gpu.Index);
        if (stream == 0)
            throw new CudaException("CudaGraph.Capture", "the default stream cannot be captured: use a CudaStream around it");
        var graph = (nint)NativeMemory.AllocZeroed(ObjectBytes);
        s_create(graph, 0);
        s_begin(graph, 0, 0, Relaxed);
        ExceptionDispatchInfo? failure = null;
        try
        {
            work();
        }
        catch (Exception e)
        {
            failure = ExceptionDispatchInfo.Capture(e);
        }
        // Ended in any case: a stream left in capture refuses all later work. libtorch throws where the capture broke, and an exception of C++
        // ends the process here: then the driver ends it, and the object stays, since libtorch's allocator may still ask it.
        int status;
        Driver.Check(Driver.StreamIsCapturing(stream, &status), "cuStreamIsCapturing");
        if (status != Active)
        {
            nint broken;
            _ = Driver.StreamEndCapture(stream, &broken);
            failure?.Throw();
            throw new CudaException("CudaGraph.Capture", "the work did what a graph cannot hold, such as waiting for the GPU");
        }
        s_end(graph);
        var captured = new CudaGraph(gpu, graph);
        if (failure is null)
            return captured;
        captured.Dispose();
        failure.Throw();
        throw new UnreachableException();
    }

    /// <summary>Queues the whole sequence on the current stream (any stream).</summary>
    public void Replay()
    {
        ObjectDisposedException.ThrowIf(_graph == 0, this);
        _device.MakeCurrent();
        s_replay(_graph);
    }

    /// <summary>Gives the pool back; the work must be done.</summary>
    public void Dispose()
    {
        if (_graph == 0)
            return;
        _device.MakeCurrent();
        s_destroy(_graph);
        NativeMemory.Free((void*)_graph);
        _graph = 0;
    }
}
