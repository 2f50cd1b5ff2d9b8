using MassTransit;
using MassTransit.RabbitMqTransport;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Qbb.Hosting.Bus;

/// <summary>
/// Returns from a delivery when its connection is cut; the broker delivers the message again. RabbitMQ.Client tells the channels of a connection one
/// after another that it is gone, and waits for the deliveries of each before it tells the next. A consumer that works on, or publishes and waits for
/// the broker, therefore keeps the other endpoints from reconnecting, and after some 20 seconds MassTransit disposes the connection and they are never
/// told: they stay without a consumer until the process ends, and report themselves healthy.
/// </summary>
internal sealed class CutDeliveryFilter(ILogger<CutDeliveryFilter> log) : IFilter<ConsumeContext>
{
    public void Probe(ProbeContext context) => context.CreateFilterScope("cutDelivery");

    public async Task Send(ConsumeContext context, IPipe<ConsumeContext> next)
    {
        var cancelled = context.CancellationToken;
        if (!context.TryGetPayload(out ConnectionContext? broker))
        {
            await next.Send(context);
            return;
        }
        var cut = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        // A service that stops cancels too, and waits for its consumers.
        await using var registration = cancelled.Register(() =>
        {
            if (!broker.Connection.IsOpen)
                cut.TrySetResult();
        });
        var consuming = next.Send(context);
        if (await Task.WhenAny(consuming, cut.Task) == consuming)
        {
            await consuming;
            return;
        }
        _ = consuming.ContinueWith(
            task => log.LogDebug("A consumer of {Queue} ended after its connection: {Reason}", context.ReceiveContext.InputAddress, task.Exception!.GetBaseException().Message),
            CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
        throw new OperationCanceledException("the connection to the broker was cut", cancelled);
    }
}

/// <summary>
/// The last resort for endpoints that do not let go of a closed connection: the process turns unready and ends, and whatever runs it starts it again.
/// </summary>
public sealed class ConnectionWatch(ServiceExit exit, IHostApplicationLifetime lifetime, TimeProvider clock, ILogger<ConnectionWatch> log)
    : IFilter<ChannelContext>, IHealthCheck
{
    /// <summary>How long an endpoint may hold a closed connection. It takes milliseconds to let go, and then connects again for as long as it takes.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private static readonly TimeSpan s_look = TimeSpan.FromSeconds(5);
    private volatile string? _lost;

    public void Probe(ProbeContext context) => context.CreateFilterScope("connectionWatch");

    public async Task Send(ChannelContext context, IPipe<ChannelContext> next)
    {
        var consuming = next.Send(context);
        var connection = context.ConnectionContext.Connection;
        var open = clock.GetTimestamp();
        while (await Task.WhenAny(consuming, Task.Delay(s_look, clock)) != consuming)
        {
            if (connection.IsOpen)
                open = clock.GetTimestamp();
            else if (_lost is null && clock.GetElapsedTime(open) > Patience)
                End(context.TryGetPayload(out ReceiveSettings? settings) ? settings.QueueName : "an endpoint");
        }
        await consuming;
    }

    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) =>
        Task.FromResult(_lost is { } queue ? HealthCheckResult.Unhealthy(Describe(queue)) : HealthCheckResult.Healthy());

    private static string Describe(string queue) => $"{queue} has lost its connection to the broker and does not connect again";

    private void End(string queue)
    {
        _lost = queue;
        exit.Code = ServiceExit.ConnectionLost;
        log.LogCritical("{Problem}: ending with code {Code}", Describe(queue), exit.Code);
        lifetime.StopApplication();
    }
}
