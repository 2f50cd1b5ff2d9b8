using MassTransit;
using Qbb.Registry.Pipelines.Machine;

namespace Qbb.Registry.Pipelines.Running;

/// <summary>Takes what workers say, many messages in one transaction of their pipeline.</summary>
internal sealed class WorkerEventConsumer<T>(IServiceScopeFactory scopes, ILogger<WorkerEventConsumer<T>> log) : IConsumer<Batch<T>>
    where T : class
{
    // Two that change the same rows at once may get in each other's way; once more and it goes.
    private const int Tries = 3;

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
            throw errors.Find(Transience.IsTransient) ?? new PoisonException(errors[0]);
    }

    private async Task ReceiveAsync(Guid pipeline, List<(Guid, PipelineEvent)> messages, CancellationToken cancellation)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await using var scope = scopes.CreateAsyncScope();
                await scope.ServiceProvider.GetRequiredService<PipelineInbox>().ReceiveAsync(pipeline, messages, cancellation);
                return;
            }
            catch (Exception error) when (!Transience.IsTransient(error) && !cancellation.IsCancellationRequested)
            {
                if (attempt < Tries)
                    continue;
                log.LogError(error, "Messages of pipeline {Pipeline} cannot be made use of", pipeline);
                await BreakAsync(pipeline, $"the registry cannot make use of what a worker said: {error.GetBaseException().Message}", cancellation);
                throw;
            }
        }
    }

    private async Task BreakAsync(Guid pipeline, string reason, CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        await scope.ServiceProvider.GetRequiredService<PipelineInbox>().ApplyAsync(pipeline, new PipelineEvent.Broken(reason), cancellation);
    }
}
