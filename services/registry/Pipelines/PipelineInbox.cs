using System.Collections.Concurrent;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Qbb.Registry.Data;
using Qbb.Registry.Messaging;
using Qbb.Registry.Pipelines.Machine;

namespace Qbb.Registry.Pipelines;

/// <summary>One transaction around what happens to a pipeline: inbox, state and outbox are saved together or not at all.</summary>
internal sealed class PipelineInbox(RegistryContext context, PipelineRunner runner, OutboxSignal signal, TimeProvider clock)
{
    /// <summary>Applies messages of one pipeline; each acts once, however often it is delivered.</summary>
    public async Task ReceiveAsync(
        Guid pipeline, IReadOnlyList<(Guid MessageId, PipelineEvent Event)> messages, CancellationToken cancellation)
    {
        await using var transaction = await context.Database.BeginTransactionAsync(cancellation);
        var fresh = await context.ReceiveAsync([.. messages.Select(message => message.MessageId)], clock.GetUtcNow(), cancellation);
        if (fresh.Count == 0)
            return;
        await runner.ApplyAsync(pipeline, [.. messages.Where(message => fresh.Remove(message.MessageId)).Select(message => message.Event)], cancellation);
        await FinishAsync(transaction, cancellation);
    }

    /// <summary>Applies an event that no message brought.</summary>
    /// <returns>The state after it; null where there is no such pipeline.</returns>
    public async Task<Pipeline?> ApplyAsync(Guid pipeline, PipelineEvent happened, CancellationToken cancellation)
    {
        await using var transaction = await context.Database.BeginTransactionAsync(cancellation);
        var state = await runner.ApplyAsync(pipeline, [happened], cancellation);
        await FinishAsync(transaction, cancellation);
        return state;
    }

    /// <summary>Applies what a pipeline's row leads to, while nobody else can change it; nothing where that is null.</summary>
    public async Task ApplyAsync(Guid pipeline, Func<Pipeline, Task<PipelineEvent?>> decide, CancellationToken cancellation)
    {
        await using var transaction = await context.Database.BeginTransactionAsync(cancellation);
        if (await context.LockPipelineAsync(pipeline, cancellation) is not { } row || await decide(row) is not { } happened)
            return;
        await runner.ApplyAsync(pipeline, [happened], cancellation);
        await FinishAsync(transaction, cancellation);
    }

    /// <summary>Applies an event to several pipelines, and does something else in the same transaction.</summary>
    public async Task ApplyAsync(IReadOnlyList<Guid> pipelines, PipelineEvent happened, Func<Task> also, CancellationToken cancellation)
    {
        await using var transaction = await context.Database.BeginTransactionAsync(cancellation);
        foreach (var pipeline in pipelines)
            await runner.ApplyAsync(pipeline, [happened], cancellation);
        await also();
        await FinishAsync(transaction, cancellation);
    }

    private async Task FinishAsync(IDbContextTransaction transaction, CancellationToken cancellation)
    {
        await context.SaveChangesAsync(cancellation);
        await transaction.CommitAsync(cancellation);
        signal.Set();
        runner.Committed();
    }
}

/// <summary>A pipeline whose message cannot be sent would wait for ever: it fails with the reason, and a retry makes the message anew.</summary>
internal sealed class RefusedMessages(RegistryContext context, PipelineInbox pipelines) : IRefusedMessages
{
    public Task SetAsideAsync(OutboxMessage message, string reason, CancellationToken cancellation) => pipelines.ApplyAsync(
        message.PipelineId is { } pipeline ? [pipeline] : [], new PipelineEvent.Broken($"{message.Type} cannot be sent: {reason}"),
        () => context.Outbox.Where(row => row.Id == message.Id).ExecuteUpdateAsync(set => set.SetProperty(row => row.Error, reason), cancellation), cancellation);
}

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
