namespace Qbb.Cuda;

/// <summary>
/// A fixed sequence of launches, queued as one. The captured work must not allocate: libtorch's caching allocator does not know of the
/// capture and would hand a block of it to others. Give every tensor its place beforehand, and run the work once before the capture.
/// </summary>
public sealed unsafe class CudaGraph : IDisposable
{
    private const int Relaxed = 2;
    private readonly CudaDevice _device;
    private nint _executable;

    private CudaGraph(CudaDevice device, nint executable) => (_device, _executable) = (device, executable);

    /// <summary>Records what <paramref name="work"/> queues on this thread's current stream, which must come from <see cref="CudaStream.Use"/>.</summary>
    /// <exception cref="CudaException">The current stream is the legacy default one, or the work did what a graph cannot hold.</exception>
    public static CudaGraph Capture(Device device, Action work)
    {
        var gpu = CudaDevice.Get(device);
        gpu.MakeCurrent();
        var stream = CudaStream.Current(gpu.Index);
        if (stream == 0)
            throw new CudaException("CudaGraph.Capture", "the default stream cannot be captured: use a CudaStream around it");
        nint graph = 0, executable;
        Driver.Check(Driver.StreamBeginCapture(stream, Relaxed), "cuStreamBeginCapture");
        int ended;
        try
        {
            work();
        }
        finally
        {
            // Ended in any case: a stream left in capture refuses all later work.
            ended = Driver.StreamEndCapture(stream, &graph);
        }
        Driver.Check(ended, "cuStreamEndCapture");
        try
        {
            Driver.Check(Driver.GraphInstantiate(&executable, graph, 0), "cuGraphInstantiate");
        }
        finally
        {
            Driver.Check(Driver.GraphDestroy(graph), "cuGraphDestroy");
        }
        return new CudaGraph(gpu, executable);
    }

    /// <summary>Queues the whole sequence on the current stream (any stream).</summary>
    public void Replay()
    {
        ObjectDisposedException.ThrowIf(_executable == 0, this);
        _device.MakeCurrent();
        Driver.Check(Driver.GraphLaunch(_executable, CudaStream.Current(_device.Index)), "cuGraphLaunch");
    }

    public void Dispose()
    {
        if (_executable == 0)
            return;
        _device.MakeCurrent();
        Driver.Check(Driver.GraphExecDestroy(_executable), "cuGraphExecDestroy");
        _executable = 0;
    }
}
