using System.Collections.Concurrent;

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary>What a slow quantizer's units cost, and when they ran.</summary>
internal sealed class SlowLayers(TimeSpan cost, Func<Exception>? fault)
{
    public ConcurrentQueue<UnitSpan> Spans { get; } = new();

    public async Task<T> RunAsync<T>(Func<Task<T>> work, CancellationToken stop)
    {
        if (fault is not null)
            throw fault();
        var start = DateTime.UtcNow;
        await Task.Delay(cost, stop);
        var done = await work();
        Spans.Enqueue(new UnitSpan(start, DateTime.UtcNow));
        return done;
    }
}
