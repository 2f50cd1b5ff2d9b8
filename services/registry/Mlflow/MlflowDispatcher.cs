using Microsoft.EntityFrameworkCore;
using Qbb.Artifacts;
using Qbb.Hosting.Bus;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Mlflow.Client;

namespace Qbb.Registry.Mlflow;

/// <summary>How the exchange with MLflow goes, for the page.</summary>
internal sealed class MlflowStatus
{
    /// <summary>Why the server is not told at the moment; null where all is well.</summary>
    public string? Error { get; private set; }

    /// <summary>Since when.</summary>
    public DateTimeOffset? Since { get; private set; }

    public DateTimeOffset? NextTry { get; private set; }

    public int Failures { get; private set; }

    /// <summary>Changes that the server failed at, and how often in a row.</summary>
    public Dictionary<long, int> Suspects { get; } = [];

    public void Succeeded()
    {
        (Error, Since, NextTry, Failures) = (null, null, null, 0);
        Suspects.Clear();
    }

    public void Failed(string error, DateTimeOffset now, DateTimeOffset next) => (Error, Since, NextTry, Failures) = (error, Since ?? now, next, Failures + 1);
}

/// <summary>Sends the outbox to MLflow, one process at a time; while the server is away it tries again at growing intervals.</summary>
internal sealed class MlflowDispatcher(
    IServiceScopeFactory scopes, MlflowStatus status, MlflowOptions options, TimeProvider clock, ILogger<MlflowDispatcher> log) : BackgroundService
{
    // Changes of this time go together.
    private static readonly TimeSpan s_rest = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan s_prune = TimeSpan.FromHours(1);

    /// <summary>"mlflow" as a number that no other lock has.</summary>
    private const long Lock = 0x6d6c666c6f77;
    private DateTimeOffset _pruned;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
            await Task.Delay(await TryAsync(stoppingToken), clock, stoppingToken);
    }

    /// <summary>Sends what is pending.</summary>
    /// <returns>When to look again.</returns>
    internal async Task<TimeSpan> TryAsync(CancellationToken cancellation)
    {
        try
        {
            await using var scope = scopes.CreateAsyncScope();
            var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
            if (await context.MlflowChanges.AnyAsync(change => change.SentAt == null && change.Error == null, cancellation))
            {
                await using var held = await context.TryLockAsync(Lock, cancellation);
                var sync = scope.ServiceProvider.GetRequiredService<MlflowSync>();
                if (held is not null)
                    await sync.SendAsync(cancellation);
                await PruneAsync(sync, cancellation);
            }
            status.Succeeded();
            return s_rest;
        }
        catch (Exception error) when (!cancellation.IsCancellationRequested)
        {
            var (now, refused) = (clock.GetUtcNow(), error as MlflowException);
            var wait = Backoff.After(status.Failures + 1, s_rest, asked: refused?.RetryAfter);
            if (status.Failures == 0)
                log.LogWarning("MLflow sync failed, retrying: {Reason}", refused?.Message ?? error.GetBaseException().Message);
            var reason = refused?.Message ?? (error is ArtifactStoreException ? ServerPaths.Hide(error.Message) : "the database is away or busy");
            status.Failed(reason, now, now + wait);
            return wait;
        }
    }

    private async Task PruneAsync(MlflowSync sync, CancellationToken cancellation)
    {
        var now = clock.GetUtcNow();
        if (now - _pruned < s_prune)
            return;
        await sync.PruneAsync(now - TimeSpan.FromDays(options.KeepDays), cancellation);
        _pruned = now;
    }
}
