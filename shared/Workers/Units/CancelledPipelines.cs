namespace Qbb.Workers.Units;

/// <summary>
/// The pipelines that nobody waits for any more. A pipeline may be started again under its own id, so a cancellation stands for the
/// commands that were sent before it alone.
/// </summary>
public sealed class CancelledPipelines
{
    private readonly Lock _lock = new();
    private readonly Dictionary<Guid, DateTime> _cancelled = [];
    private readonly List<PipelineWork> _atHand = [];

    /// <summary>Stops what is at hand for a pipeline and what is queued.</summary>
    /// <param name="pipeline">Which.</param>
    /// <param name="time">When it was cancelled.</param>
    public void Cancel(Guid pipeline, DateTime time)
    {
        lock (_lock)
        {
            _cancelled[pipeline] = time;
            _atHand.FindAll(work => work.Pipeline == pipeline && work.Sent <= time).ForEach(work => work.Cancel());
        }
    }

    /// <summary>Begins work for a pipeline; dispose it at the end.</summary>
    /// <param name="pipeline">Which.</param>
    /// <param name="sent">When the command was sent.</param>
    internal PipelineWork Begin(Guid pipeline, DateTime sent)
    {
        lock (_lock)
        {
            var work = new PipelineWork(pipeline, sent, End);
            if (_cancelled.TryGetValue(pipeline, out var time) && sent <= time)
                work.Cancel();
            _atHand.Add(work);
            return work;
        }
    }

    private void End(PipelineWork work)
    {
        lock (_lock)
            _atHand.Remove(work);
    }
}
