using MassTransit;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Qbb.Artifacts;
using Qbb.Hosting;
using Qbb.Hosting.Bus;

namespace Qbb.Workers.Units;

/// <summary>
/// The circuit breaker of a worker process. Where its machine is at fault (GPU, driver, disk) it stops consuming, so that other workers do the
/// units, says why at its health endpoint, and starts again when a check of the machine succeeds. Checks are further and further apart until a
/// unit is done.
/// </summary>
public sealed class MachineBreaker(IMachineCheck check, IHostApplicationLifetime lifetime, TimeProvider clock, ILogger<MachineBreaker> log)
    : BackgroundService, IReceiveEndpointObserver, IHealthCheck
{
    private static readonly TimeSpan s_firstPause = TimeSpan.FromSeconds(15);
    private readonly Lock _lock = new();
    private readonly SemaphoreSlim _tripped = new(0);
    private readonly Dictionary<Uri, IReceiveEndpoint> _endpoints = [];
    private volatile MachineFault? _fault;
    private int _trips;

    /// <summary>Why no unit can be done here now; null where one can.</summary>
    public MachineFault? Fault => _fault;

    /// <summary>Whether the queues are closed.</summary>
    public bool IsOpen { get; private set; }

    /// <summary>Stops consuming.</summary>
    public void Trip(MachineFault fault)
    {
        lock (_lock)
        {
            if (_fault is null)
                _tripped.Release();
            _fault = fault;
        }
        log.LogError("This worker takes no more units: {Reason}", fault.Reason);
    }

    /// <summary>A unit was done: the machine is in order.</summary>
    public void UnitDone() => Interlocked.Exchange(ref _trips, 0);

    /// <summary>What is wrong with the machine after an error of a unit; null where it was not the machine.</summary>
    public async Task<MachineFault?> FindAsync(Exception error, CancellationToken cancellation) =>
        MachineFault.Of(error) ?? await check.FindFaultAsync(cancellation);

    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) =>
        Task.FromResult(_fault is { } fault ? HealthCheckResult.Unhealthy(fault.Reason) : HealthCheckResult.Healthy());

    public Task Ready(ReceiveEndpointReady ready)
    {
        lock (_lock)
            _endpoints[ready.InputAddress] = ready.ReceiveEndpoint;
        return Task.CompletedTask;
    }

    public Task Stopping(ReceiveEndpointStopping stopping) => Task.CompletedTask;

    public Task Completed(ReceiveEndpointCompleted completed) => Task.CompletedTask;

    public Task Faulted(ReceiveEndpointFaulted faulted) => Task.CompletedTask;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await lifetime.ApplicationStarted.WhenCancelledAsync(stoppingToken);
        if (await check.FindFaultAsync(stoppingToken) is { } found)
            Trip(found);
        while (true)
        {
            await _tripped.WaitAsync(stoppingToken);
            await ForAllAsync(endpoint => endpoint.Stop(stoppingToken));
            IsOpen = true;
            MachineFault? still;
            do
            {
                var pause = Backoff.After(++_trips, s_firstPause);
                log.LogWarning("The machine is checked again in {Seconds:0} s", pause.TotalSeconds);
                await Task.Delay(pause, clock, stoppingToken);
                if ((still = await check.FindFaultAsync(stoppingToken)) is not null)
                    _fault = still;
            }
            while (still is not null);
            lock (_lock)
                _fault = null;
            IsOpen = false;
            await ForAllAsync(endpoint => endpoint.Start(stoppingToken).Ready);
            log.LogInformation("This worker takes units again");
        }
    }

    private async Task ForAllAsync(Func<IReceiveEndpoint, Task> act)
    {
        List<IReceiveEndpoint> endpoints;
        lock (_lock)
            endpoints = [.. _endpoints.Values];
        foreach (var endpoint in endpoints)
        {
            try
            {
                await act(endpoint);
            }
            catch (Exception error) when (error is not OperationCanceledException)
            {
                log.LogWarning("The queue {Queue} cannot be stopped or started: {Reason}", endpoint.InputAddress, error.Message);
            }
        }
    }
}

/// <summary>Something that is wrong with a worker's machine.</summary>
/// <param name="Reason">For people.</param>
/// <param name="NeedsRestart">The process itself cannot recover, as with a CUDA context that has died.</param>
public sealed record MachineFault(string Reason, bool NeedsRestart = false)
{
    private static readonly int[] s_disk = [5 /* EIO */, 28 /* ENOSPC */, 30 /* EROFS */, 122 /* EDQUOT */];

    /// <summary>What an error says of the machine by itself; null where it may be the unit's.</summary>
    public static MachineFault? Of(Exception error)
    {
        for (Exception? inner = error; inner is not null; inner = inner.InnerException)
        {
            if (inner is MachineFaultException { Fault: var fault })
                return fault;
            if (inner is StoreFullException || (inner is IOException && s_disk.Contains(inner.HResult)))
                return new MachineFault(inner.Message);
        }
        return null;
    }
}

/// <summary>A unit was not begun, since the machine is at fault.</summary>
internal sealed class MachineFaultException(MachineFault fault) : Exception(fault.Reason)
{
    public MachineFault Fault => fault;
}

/// <summary>The process answers, but only a new one can do units again: an orchestrator restarts it.</summary>
internal sealed class RestartCheck(MachineBreaker breaker) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) =>
        Task.FromResult(breaker.Fault is { NeedsRestart: true } fault ? HealthCheckResult.Unhealthy(fault.Reason) : HealthCheckResult.Healthy());
}
