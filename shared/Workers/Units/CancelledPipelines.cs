using System.Collections.Concurrent;

namespace Qbb.Workers.Units;

/// <summary>The pipelines that nobody waits for any more.</summary>
public sealed class CancelledPipelines
{
    private readonly ConcurrentDictionary<Guid, CancellationTokenSource> _pipelines = new();

    public void Cancel(Guid pipeline) => Source(pipeline).Cancel();

    /// <summary>Cancelled once the pipeline is.</summary>
    public CancellationToken TokenOf(Guid pipeline) => Source(pipeline).Token;

    private CancellationTokenSource Source(Guid pipeline) => _pipelines.GetOrAdd(pipeline, _ => new CancellationTokenSource());
}
