using System.Diagnostics;
using MassTransit;
using Microsoft.EntityFrameworkCore;
using Qbb.Hosting;
using Qbb.Registry.Data;

namespace Qbb.Registry.Messaging;

/// <summary>
/// Publishes what is in the outbox, in batches and in order, and removes it then. A crash in between publishes some of it again with the
/// same message ids: at least once, never not at all.
/// </summary>
internal sealed class OutboxDispatcher(
    IServiceScopeFactory scopes, IBus bus, OutboxSignal signal, IHostApplicationLifetime lifetime, ILogger<OutboxDispatcher> log)
    : BackgroundService
{
    private const int Batch = 200;
    private static readonly TimeSpan s_poll = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_publish = TimeSpan.FromSeconds(30);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await lifetime.ApplicationStarted.WhenCancelledAsync(stoppingToken);
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                while (await DispatchAsync(stoppingToken) == Batch)
                {
                }
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                log.LogWarning("Outbox dispatch failed, retrying: {Reason}", error.GetBaseException().Message);
            }
            await signal.WaitAsync(s_poll, stoppingToken);
        }
    }

    private async Task<int> DispatchAsync(CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
        if (!await context.Outbox.AnyAsync(cancellation))
            return 0;
        await using var transaction = await context.Database.BeginTransactionAsync(cancellation);
        var messages = await context.TakeOutboxAsync(Batch, cancellation);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(s_publish);
        await Task.WhenAll(messages.Select(message => PublishAsync(message, limit.Token)));
        var ids = messages.Select(message => message.Id).ToList();
        await context.Outbox.Where(message => ids.Contains(message.Id)).ExecuteDeleteAsync(cancellation);
        await transaction.CommitAsync(cancellation);
        return messages.Count;
    }

    private async Task PublishAsync(OutboxMessage message, CancellationToken cancellation)
    {
        using var activity = new Activity("outbox");
        if (message.TraceParent is { } parent)
            activity.SetParentId(parent).Start();
        var (body, type) = Outbox.Read(message);
        await bus.Publish(body, type, context => context.MessageId = message.MessageId, cancellation);
    }
}
