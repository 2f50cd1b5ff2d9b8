using MassTransit;
using Qbb.Registry.Pipelines.Machine;

namespace Qbb.Registry.Pipelines.Running;

/// <summary>Takes what workers say, many messages in one transaction of their pipeline.</summary>
internal sealed class WorkerEventConsumer<T>(IServiceScopeFactory scopes) : IConsumer<Batch<T>>
    where T : class
{
    public async Task Consume(ConsumeContext<Batch<T>> context)
    {
        var pipelines = context.Message
            .Select(message => (Id: message.MessageId ?? Guid.NewGuid(), Event: WorkerEvents.Of(message.Message)))
            .GroupBy(message => message.Event.Pipeline, message => (message.Id, message.Event.Event));
        var errors = new List<Exception>();
        foreach (var pipeline in pipelines)
        {
            try
            {
                await ReceiveAsync(pipeline.Key, [.. pipeline], context.CancellationToken);
            }
            catch (Exception error) when (!context.CancellationToken.IsCancellationRequested)
            {
                // The other pipelines' messages are not to wait for this one's.
                errors.Add(error);
            }
        }
        if (errors.Count > 0)
            throw new AggregateException(errors);
    }

    private async Task ReceiveAsync(Guid pipeline, List<(Guid, PipelineEvent)> messages, CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        await scope.ServiceProvider.GetRequiredService<PipelineInbox>().ReceiveAsync(pipeline, messages, cancellation);
    }
}
