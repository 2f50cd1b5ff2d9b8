using Microsoft.EntityFrameworkCore;
using Qbb.Artifacts;
using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Http;

namespace Qbb.Registry.Collecting;

/// <summary>What a collection spares.</summary>
/// <param name="Deleted">Versions that were deleted not longer ago.</param>
/// <param name="Results">Results of units that were used not longer ago.</param>
/// <param name="Grace">Blobs that were put or found not longer ago.</param>
/// <param name="Retry">Pipelines that failed or were cancelled not longer ago.</param>
internal sealed record CollectionLimits(TimeSpan Deleted, TimeSpan Results, TimeSpan Grace, TimeSpan Retry)
{
    public static CollectionLimits Of(RegistryOptions options) => new(
        TimeSpan.FromDays(options.DeletedDays), TimeSpan.FromDays(options.ResultDays), TimeSpan.FromMinutes(options.GraceMinutes),
        TimeSpan.FromDays(options.RetryDays));
}

/// <summary>
/// Lets go what was deleted, and removes the blobs that nothing refers to any more. A blob that was put or found a short while ago is spared:
/// who did so may be about to say what it is for. Uploads through the registry are spared by their leases, whatever the time: none is given
/// while blobs are being removed, and those that were given before are looked up.
/// </summary>
internal sealed class Collector(
    RegistryContext context, IArtifactStore store, IUnitResults memory, References references, CollectionTurns turns, TimeProvider clock)
{
    private const int AtOnce = 1000;
    private const int Parallel = 32;
    private static readonly TimeSpan s_longestUpload = TimeSpan.FromDays(1);

    /// <param name="limits">What is spared.</param>
    /// <param name="dryRun">Only say what would be removed.</param>
    /// <param name="cancellation">Stops between blobs; what was removed stays so.</param>
    /// <exception cref="RefusedException">Another collection is under way.</exception>
    public async Task<CollectionReport> RunAsync(CollectionLimits limits, bool dryRun, CancellationToken cancellation)
    {
        if (dryRun)
            return await CollectAsync(limits, dryRun, cancellation);
        return await turns.TryTakeAsync(cancellation)
            ? await InTurnAsync(limits, cancellation)
            : throw RefusedException.Conflict("a collection is under way already: it removes the same; read GET /api/collect to see when it has ended");
    }

    /// <summary>Collects unless that was done a shorter while ago, or is being done by another registry; null then.</summary>
    public async Task<CollectionReport?> RunIfDueAsync(CollectionLimits limits, TimeSpan every, CancellationToken cancellation)
    {
        if (!await turns.IsDueAsync(every, cancellation) || !await turns.TryTakeAsync(cancellation))
            return null;
        // Another one may have ended in between.
        if (await turns.IsDueAsync(every, cancellation))
            return await InTurnAsync(limits, cancellation);
        await turns.EndAsync(isDone: false);
        return null;
    }

    private async Task<CollectionReport> InTurnAsync(CollectionLimits limits, CancellationToken cancellation)
    {
        var isDone = false;
        try
        {
            var report = await CollectAsync(limits, dryRun: false, cancellation);
            isDone = true;
            return report;
        }
        finally
        {
            await turns.EndAsync(isDone);
        }
    }

    private async Task<CollectionReport> CollectAsync(CollectionLimits limits, bool dryRun, CancellationToken cancellation)
    {
        var now = clock.GetUtcNow();
        var purged = await PurgeAsync(now - limits.Deleted, now, dryRun, cancellation);
        var leases = dryRun
            ? await context.Leases.CountAsync(lease => lease.ExpiresAt <= now, cancellation)
            : await context.Leases.Where(lease => lease.ExpiresAt <= now).ExecuteDeleteAsync(cancellation);
        await references.GatherAsync(purged, now, now - limits.Retry, cancellation);
        var results = await ForgetAsync(now - limits.Results, dryRun, cancellation);
        if (!dryRun)
            await store.RemoveAbandonedAsync(now - s_longestUpload, cancellation);
        var (blobs, bytes, kept, keptBytes) = (0, 0L, 0, 0L);
        await foreach (var some in store.ListAsync(cancellation).Chunk(AtOnce).WithCancellation(cancellation))
        {
            var doomed = some.Where(blob => blob.LastUsed <= now - limits.Grace && !references.Contains(blob.Digest)).Select(blob => blob.Digest).ToHashSet();
            if (!dryRun && doomed.Count > 0)
                doomed = [.. await RemoveAsync(doomed, now - limits.Grace, now, cancellation)];
            var gone = some.Where(blob => doomed.Contains(blob.Digest)).ToList();
            (blobs, bytes) = (blobs + gone.Count, bytes + gone.Sum(blob => blob.Size));
            (kept, keptBytes) = (kept + some.Length - gone.Count, keptBytes + some.Sum(blob => blob.Size) - gone.Sum(blob => blob.Size));
        }
        return new CollectionReport(dryRun, purged.Count, results, leases, blobs, bytes, kept, keptBytes);
    }

    private async Task<IReadOnlySet<Guid>> PurgeAsync(DateTimeOffset before, DateTimeOffset now, bool dryRun, CancellationToken cancellation)
    {
        await using var transaction = await context.Database.BeginTransactionAsync(cancellation);
        var gone = await context.Versions.Where(version => version.DeletedAt <= before && version.PurgedAt == null).ToListAsync(cancellation);
        var ids = gone.Select(version => version.Id).ToHashSet();
        if (dryRun || ids.Count == 0)
            return ids;
        foreach (var version in gone)
        {
            version.PurgedAt = now;
            version.Revision++;
        }
        await context.Set<VersionFile>().Where(file => ids.Contains(file.VersionId)).ExecuteDeleteAsync(cancellation);
        await context.Aliases.Where(alias => ids.Contains(alias.VersionId)).ExecuteDeleteAsync(cancellation);
        await context.SaveChangesAsync(cancellation);
        await transaction.CommitAsync(cancellation);
        return ids;
    }

    // Results that are remembered a while longer keep their blobs.
    private async Task<int> ForgetAsync(DateTimeOffset before, bool dryRun, CancellationToken cancellation)
    {
        var (remembered, old) = (new List<Digest>(), new List<(Digest Unit, Digest Manifest)>());
        await foreach (var (unit, result, lastUsed) in memory.ListAsync(cancellation))
        {
            if (lastUsed > before)
                remembered.Add(result.Manifest);
            else
                old.Add((unit, result.Manifest));
        }
        await references.AddManifestsAsync(remembered, cancellation);
        var forgotten = old.Where(result => !references.Contains(result.Manifest)).Select(result => result.Unit).ToList();
        foreach (var some in dryRun ? [] : forgotten.Chunk(Parallel))
            await Task.WhenAll(some.Select(unit => memory.ForgetAsync(unit, cancellation)));
        return forgotten.Count;
    }

    /// <summary>Removes blobs, unless somebody has found a use for them since the references were gathered.</summary>
    private async Task<IReadOnlyCollection<Digest>> RemoveAsync(HashSet<Digest> doomed, DateTimeOffset unused, DateTimeOffset now, CancellationToken cancellation)
    {
        await turns.ExtendAsync(cancellation);
        // Whoever wants a lease waits until these are gone, and then finds that they are.
        await using var transaction = await context.Database.BeginTransactionAsync(cancellation);
        await context.LockUploadsAsync(isRemoving: true, cancellation);
        var names = doomed.Select(digest => digest.Value).ToList();
        var used = await context.Leases.Where(lease => lease.ExpiresAt > now && names.Contains(lease.Digest)).Select(lease => lease.Digest)
            .Union(context.Files.Where(file => names.Contains(file.Digest)).Select(file => file.Digest))
            .Union(context.Versions.Where(version => version.PurgedAt == null && names.Contains(version.Manifest)).Select(version => version.Manifest)).ToListAsync(cancellation);
        doomed.ExceptWith(used.Select(Digest.Parse));
        var gone = await store.RemoveAsync(doomed, unused, cancellation);
        await transaction.CommitAsync(cancellation);
        return gone;
    }
}
