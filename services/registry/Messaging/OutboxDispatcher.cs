using System.Collections.Concurrent;
using System.Diagnostics;
using MassTransit;
using Microsoft.EntityFrameworkCore;
using Qbb.Hosting;
using Qbb.Hosting.Bus;
using Qbb.Hosting.Telemetry;
using Qbb.Registry.Data;

namespace Qbb.Registry.Messaging;

/// <summary>
/// Sends what is in the outbox and removes it then. A crash in between sends some of it again with the same message ids: at least once, never not
/// at all. Of several registries one dispatches at a time, and a pipeline's messages go in their order; nothing is sent inside a transaction.
/// Commands to workers wait for their turn (<see cref="ICommandTurns"/>).
/// </summary>
internal sealed class OutboxDispatcher(
    IServiceScopeFactory scopes, OutboxSender sender, ICommandTurns turns, OutboxSignal signal, IHostApplicationLifetime lifetime, TimeProvider clock,
    ILogger<OutboxDispatcher> log)
    : BackgroundService
{
    /// <summary>Of the lock that the dispatching registry holds: "qbbout".</summary>
    private const long Turn = 0x716262_6F7574;

    private const int Batch = 200;
    private const int LongestBackoff = 5;
    private static readonly TimeSpan s_poll = TimeSpan.FromSeconds(0.5);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await lifetime.ApplicationStarted.WhenCancelledAsync(stoppingToken);
        var failures = 0;
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                await using var scope = scopes.CreateAsyncScope();
                var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
                // A registry that dies gives its turn up.
                await using var turn = await context.TryLockAsync(Turn, stoppingToken);
                if (turn is null)
                    await Task.Delay(s_poll, clock, stoppingToken);
                else
                    await DispatchAllAsync(context, () => failures = 0, stoppingToken);
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                log.LogWarning("Outbox dispatch failed, retrying: {Reason}", error.GetBaseException().Message);
                await Task.Delay(Backoff.After(Math.Min(++failures, LongestBackoff)), clock, stoppingToken);
            }
        }
    }

    private async Task DispatchAllAsync(RegistryContext context, Action succeeded, CancellationToken cancellation)
    {
        while (true)
        {
            if (await DispatchAsync(context, cancellation) < Batch)
                await signal.WaitAsync(s_poll, clock, cancellation);
            succeeded();
        }
    }

    private async Task<int> DispatchAsync(RegistryContext context, CancellationToken cancellation)
    {
        var next = await turns.NextAsync(context, Batch, cancellation);
        if (next.Stale.Count > 0)
            await context.Outbox.Where(message => next.Stale.Contains(message.Id)).ExecuteDeleteAsync(cancellation);
        var messages = await context.Outbox.AsNoTracking()
            .Where(message => message.Error == null && (message.Queue == null || next.Commands.Contains(message.Id)))
            .OrderBy(message => message.Id).Take(Batch).ToListAsync(cancellation);
        if (messages.Count == 0)
            return 0;
        var sent = await sender.SendAsync(messages, cancellation);
        if (sent.Sent.Count > 0)
            await context.Outbox.Where(message => sent.Sent.Contains(message.Id)).ExecuteDeleteAsync(cancellation);
        foreach (var (message, reason) in sent.Refused)
            await SetAsideAsync(message, reason, cancellation);
        return sent.Away is { } error ? throw error : messages.Count;
    }

    private async Task SetAsideAsync(OutboxMessage message, string reason, CancellationToken cancellation)
    {
        log.LogError("The message {Id} ({Type}) cannot be sent and is set aside: {Reason}", message.Id, message.Type, reason);
        await using var scope = scopes.CreateAsyncScope();
        await scope.ServiceProvider.GetRequiredService<IRefusedMessages>().SetAsideAsync(message, reason, cancellation);
    }
}

/// <summary>Keeps messages that cannot be sent, with their error, and tells whom it concerns.</summary>
internal interface IRefusedMessages
{
    Task SetAsideAsync(OutboxMessage message, string reason, CancellationToken cancellation);
}

/// <summary>Decides which of the commands that wait for workers go now.</summary>
internal interface ICommandTurns
{
    /// <param name="context">Read only.</param>
    /// <param name="most">Commands.</param>
    /// <param name="cancellation">Stops.</param>
    Task<Turns> NextAsync(RegistryContext context, int most, CancellationToken cancellation);
}

/// <summary>What to do with commands, by their ids in the outbox; all others wait.</summary>
/// <param name="Commands">To be sent.</param>
/// <param name="Stale">Of pipelines that have ended: nobody needs them.</param>
internal sealed record Turns(IReadOnlyList<long> Commands, IReadOnlyList<long> Stale)
{
    public static readonly Turns None = new([], []);
}

/// <summary>Sends messages of the outbox.</summary>
internal sealed class OutboxSender(IBusControl bus, QueueSender queues)
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(30);

    /// <summary>What became of some messages.</summary>
    /// <param name="Sent">Those that the bus took.</param>
    /// <param name="Refused">Those that can never be sent, with the reason.</param>
    /// <param name="Away">Why others could not be sent now; null where none is left.</param>
    public sealed record Result(IReadOnlyCollection<long> Sent, IReadOnlyCollection<(OutboxMessage Message, string Reason)> Refused, Exception? Away);

    /// <summary>Sends messages; those of one pipeline in their order, except that commands of one kind may overtake one another.</summary>
    public async Task<Result> SendAsync(IReadOnlyList<OutboxMessage> messages, CancellationToken cancellation)
    {
        var (sent, refused) = (new ConcurrentBag<long>(), new ConcurrentBag<(OutboxMessage, string)>());
        Exception? away = null;
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(s_limit);
        await Task.WhenAll(messages.GroupBy(message => message.PipelineId).Select(async pipeline =>
        {
            foreach (var run in Runs(pipeline))
            {
                await Task.WhenAll(run.Select(TrySendAsync));
                if (away is not null)
                    return;
            }
        }));
        cancellation.ThrowIfCancellationRequested();
        return new Result(sent, refused, away);

        async Task TrySendAsync(OutboxMessage message)
        {
            try
            {
                // A send whose connection goes away does not always heed its token.
                await SendAsync(message, limit.Token).WaitAsync(limit.Token);
                sent.Add(message.Id);
            }
            // Where the bus is well, whatever goes wrong lies with the message.
            catch (Exception error) when (error is OutboxException
                || (!BrokerFaults.IsAway(error) && error is not OperationCanceledException && bus.CheckHealth().Status == BusHealthStatus.Healthy))
            {
                refused.Add((message, error.Message));
            }
            catch (Exception error)
            {
                away = error is OperationCanceledException ? new TimeoutException($"the broker does not take messages within {s_limit.TotalSeconds:0} s", error) : error;
            }
        }
    }

    private async Task SendAsync(OutboxMessage message, CancellationToken cancellation)
    {
        using var span = TelemetryExtensions.Spans.StartActivity("outbox send", ActivityKind.Producer, message.TraceParent);
        var (body, type) = Outbox.Read(message);
        if (message.Queue is { } queue)
            await queues.SendAsync(queue, body, type, message.MessageId, cancellation);
        else
            await bus.Publish(body, type, context => context.MessageId = message.MessageId, cancellation);
    }

    private static IEnumerable<IReadOnlyList<OutboxMessage>> Runs(IEnumerable<OutboxMessage> messages)
    {
        var run = new List<OutboxMessage>();
        foreach (var message in messages)
        {
            if (run.Count > 0 && run[0].Type != message.Type)
            {
                yield return run;
                run = [];
            }
            run.Add(message);
        }
        yield return run;
    }
}
