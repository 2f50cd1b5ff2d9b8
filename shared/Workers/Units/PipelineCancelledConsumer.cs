using MassTransit;

namespace Qbb.Workers.Units;

/// <summary>Every worker process hears of every cancelled pipeline.</summary>
public sealed class PipelineCancelledConsumer(CancelledPipelines cancelled) : IConsumer<PipelineCancelled>
{
    public Task Consume(ConsumeContext<PipelineCancelled> context)
    {
        cancelled.Cancel(context.Message.PipelineId, context.SentTime ?? DateTime.UtcNow);
        return Task.CompletedTask;
    }
}
