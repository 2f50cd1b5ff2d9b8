using MassTransit;

namespace Qbb.Workers.Units;

/// <summary>
/// The pipelines that nobody waits for any more. A pipeline may be retried under its own id, so a cancellation concerns the commands of its
/// epoch and of earlier ones alone, in whatever order they arrive.
/// </summary>
public sealed class CancelledPipelines
{
    private readonly Lock _lock = new();
    private readonly Dictionary<Guid, int> _cancelled = [];
    private readonly List<PipelineWork> _atHand = [];

    /// <summary>Stops what is at hand for a pipeline and what is queued.</summary>
    /// <param name="pipeline">Which.</param>
    /// <param name="epoch">The last epoch that is meant.</param>
    public void Cancel(Guid pipeline, int epoch)
    {
        lock (_lock)
        {
            // Messages may arrive out of order.
            _cancelled[pipeline] = Math.Max(epoch, _cancelled.GetValueOrDefault(pipeline, epoch));
            _atHand.FindAll(work => work.Command.PipelineId == pipeline && work.Command.Epoch <= epoch).ForEach(work => work.Cancel());
        }
    }

    /// <summary>Begins a unit; dispose it at the end.</summary>
    internal PipelineWork Begin(IUnitCommand command)
    {
        lock (_lock)
        {
            var work = new PipelineWork(command, End);
            if (_cancelled.TryGetValue(command.PipelineId, out var epoch) && command.Epoch <= epoch)
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

/// <summary>A unit at hand for a pipeline.</summary>
internal sealed class PipelineWork(IUnitCommand command, Action<PipelineWork> end) : IDisposable
{
    private readonly CancellationTokenSource _source = new();

    public IUnitCommand Command => command;

    public CancellationToken Token => _source.Token;

    public void Cancel() => _source.Cancel();

    public void Dispose()
    {
        end(this);
        _source.Dispose();
    }
}

/// <summary>Every worker process hears of every cancelled pipeline.</summary>
public sealed class PipelineCancelledConsumer(CancelledPipelines cancelled) : IConsumer<PipelineCancelled>
{
    public Task Consume(ConsumeContext<PipelineCancelled> context)
    {
        cancelled.Cancel(context.Message.PipelineId, context.Message.Epoch);
        return Task.CompletedTask;
    }
}
