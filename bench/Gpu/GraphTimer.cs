using Qbb.Cuda;

namespace Qbb.Bench.Gpu;

/// <summary>
/// Times work on a GPU as replays of a graph, so that what the host does between launches does not count. Several copies of the operands take
/// turns, together larger than the second-level cache, as the layers of a model do.
/// </summary>
internal sealed class GraphTimer(Device device)
{
    private const int Replays = 25;
    private const int LeastLaunches = 24;

    /// <summary>Copies of operands of so many bytes that do not fit the cache together.</summary>
    public int Copies(long bytes) => (int)Math.Clamp(4L * CudaDevice.Get(device).L2Bytes / bytes + 1, 2, 512);

    /// <summary>Median seconds of one run of <paramref name="work"/>.</summary>
    /// <param name="copies">How many copies there are.</param>
    /// <param name="work">Queues one run on the copy of that index; must not allocate.</param>
    public double Median(int copies, Action<int> work)
    {
        torch.cuda.synchronize(device);
        using var stream = new CudaStream(device).Use();
        for (var k = 0; k < copies; k++)
            work(k);
        torch.cuda.synchronize(device);
        var launches = copies * ((LeastLaunches + copies - 1) / copies);
        using var graph = CudaGraph.Capture(device, () =>
        {
            for (var k = 0; k < launches; k++)
                work(k % copies);
        });
        using var start = new CudaEvent(device);
        using var end = new CudaEvent(device);
        var times = new double[Replays];
        for (var k = -3; k < Replays; k++)
        {
            start.Record();
            graph.Replay();
            end.Record();
            var seconds = end.SecondsSince(start);
            if (k >= 0)
                times[k] = seconds / launches;
        }
        Array.Sort(times);
        return times[Replays / 2];
    }
}
