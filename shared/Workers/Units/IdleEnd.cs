using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Qbb.Hosting;

namespace Qbb.Workers.Units;

/// <summary>What a worker process has at hand, and for how long it has had nothing.</summary>
public sealed class UnitActivity(TimeProvider clock)
{
    private readonly Lock _lock = new();
    private int _running;
    private long _since = clock.GetTimestamp();

    /// <summary>Whether a unit was refused for its input.</summary>
    public bool HadInvalidInput { get; private set; }

    /// <summary>Zero while a unit runs.</summary>
    public TimeSpan Idle
    {
        get
        {
            lock (_lock)
                return _running > 0 ? TimeSpan.Zero : clock.GetElapsedTime(_since);
        }
    }

    /// <summary>A unit begins; dispose the result when it ends.</summary>
    public IDisposable Begin()
    {
        lock (_lock)
            _running++;
        return new Ending(this);
    }

    /// <summary>Units can come from now on.</summary>
    public void Ready()
    {
        lock (_lock)
            _since = clock.GetTimestamp();
    }

    public void NoteInvalidInput() => HadInvalidInput = true;

    private void End()
    {
        lock (_lock)
        {
            _running--;
            _since = clock.GetTimestamp();
        }
    }

    private sealed class Ending(UnitActivity activity) : IDisposable
    {
        public void Dispose() => activity.End();
    }
}

/// <summary>Exit codes of a worker that ends by itself, for the podFailurePolicy of its Job.</summary>
public static class WorkerExit
{
    /// <summary>The queue was empty.</summary>
    public const int Idle = 0;

    /// <summary>The queue was empty, and a unit's input was invalid: another pod would do no better.</summary>
    public const int Input = 10;

    /// <summary>The machine is at fault: another pod may have a better one.</summary>
    public const int Machine = 20;
}

/// <summary>Ends a worker of a Job when it has been idle, or when its machine is at fault.</summary>
internal sealed class IdleEnd(
    UnitActivity activity, MachineBreaker breaker, ServiceExit exit, IOptions<WorkerOptions> options, IHostApplicationLifetime lifetime, TimeProvider clock,
    ILogger<IdleEnd> log) : BackgroundService
{
    private static readonly TimeSpan s_look = TimeSpan.FromSeconds(0.5);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (options.Value.IdleLimit is not { } limit)
            return;
        await lifetime.ApplicationStarted.WhenCancelledAsync(stoppingToken);
        // A start that takes longer than the limit would end it before the first unit.
        activity.Ready();
        log.LogInformation("Taking units{Stage} until there is none for {Seconds:0} s", options.Value.Stage is { } stage ? $" for the stage {stage}" : "", limit.TotalSeconds);
        using var timer = new PeriodicTimer(s_look, clock);
        while (breaker.Fault is null && activity.Idle < limit)
            await timer.WaitForNextTickAsync(stoppingToken);
        exit.Code = breaker.Fault is not null ? WorkerExit.Machine : activity.HadInvalidInput ? WorkerExit.Input : WorkerExit.Idle;
        log.LogInformation("Ending with code {Code}: {Reason}", exit.Code, breaker.Fault?.Reason ?? $"no unit for {limit.TotalSeconds:0} s");
        lifetime.StopApplication();
    }
}
