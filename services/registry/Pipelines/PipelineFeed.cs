using System.Collections.Concurrent;

namespace Qbb.Registry.Pipelines.Running;

/// <summary>Tells those who watch a pipeline in this process that it has changed.</summary>
internal sealed class PipelineFeed
{
    private readonly ConcurrentDictionary<Guid, TaskCompletionSource> _changes = new();

    /// <summary>Ends with the next change.</summary>
    public Task NextChange(Guid pipeline) =>
        _changes.GetOrAdd(pipeline, _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    public void Tell(IEnumerable<Guid> pipelines)
    {
        foreach (var pipeline in pipelines)
        {
            if (_changes.TryRemove(pipeline, out var change))
                change.TrySetResult();
        }
    }
}
