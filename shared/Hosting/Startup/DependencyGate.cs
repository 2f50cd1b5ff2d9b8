using System.Diagnostics;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Qbb.Artifacts;

namespace Qbb.Hosting.Startup;

/// <summary>Waits for everything that a service needs, says what it waits for, and gives up after a limit.</summary>
public sealed class DependencyGate(IEnumerable<IDependency> dependencies, IOptions<StartupOptions> options, ILogger<DependencyGate> log)
{
    private static readonly TimeSpan s_between = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_probe = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_remind = TimeSpan.FromSeconds(5);

    /// <exception cref="StartupException">The limit is over.</exception>
    public Task WaitAsync(CancellationToken cancellation = default) =>
        Task.WhenAll(dependencies.Select(dependency => WaitForAsync(dependency, cancellation)));

    private async Task WaitForAsync(IDependency dependency, CancellationToken cancellation)
    {
        var limit = TimeSpan.FromSeconds(options.Value.WaitSeconds);
        var watch = Stopwatch.StartNew();
        TimeSpan? told = null;
        while (await TryAsync(dependency, cancellation) is { } reason)
        {
            if (watch.Elapsed >= limit)
            {
                throw new StartupException(
                    $"{dependency.Name} is away: {reason}. Gave up after {limit.TotalSeconds:0} s ({StartupOptions.Section}:{nameof(StartupOptions.WaitSeconds)}); "
                    + "start it, or correct its address in the settings");
            }
            if (told is null || watch.Elapsed - told > s_remind)
            {
                told = watch.Elapsed;
                log.LogWarning("Waiting for {Dependency}, {Left:0} s more: {Reason}", dependency.Name, (limit - watch.Elapsed).TotalSeconds, reason);
            }
            await Task.Delay(s_between, cancellation);
        }
        if (told is not null)
            log.LogInformation("{Dependency} is there", dependency.Name);
    }

    private static async Task<string?> TryAsync(IDependency dependency, CancellationToken cancellation)
    {
        using var limited = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limited.CancelAfter(s_probe);
        try
        {
            await dependency.ProbeAsync(limited.Token);
            return null;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return $"no answer within {s_probe.TotalSeconds:0} s";
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            // The store's own errors say it better than what they were made of.
            return (error as ArtifactStoreException ?? error.GetBaseException()).Message;
        }
    }
}
