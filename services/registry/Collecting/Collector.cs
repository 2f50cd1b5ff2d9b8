using Microsoft.EntityFrameworkCore;
using Qbb.Artifacts;
using Qbb.Contracts;
using Qbb.Registry.Data;

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
/// who did so may be about to say what it is for.
/// </summary>
internal sealed class Collector(RegistryContext context, IArtifactStore store, IUnitResults memory, References references, TimeProvider clock)
{
    private static readonly TimeSpan s_longestUpload = TimeSpan.FromDays(1);

    /// <param name="limits">What is spared.</param>
    /// <param name="dryRun">Only say what would be removed.</param>
    /// <param name="cancellation">Stops between blobs; what was removed stays so.</param>
    public async Task<CollectionReport> RunAsync(CollectionLimits limits, bool dryRun, CancellationToken cancellation)
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
        await foreach (var blob in store.ListAsync(cancellation))
        {
            if (references.Contains(blob.Digest) || !await RemoveAsync(blob, now - limits.Grace, dryRun, cancellation))
            {
                kept++;
                keptBytes += blob.Size;
                continue;
            }
            blobs++;
            bytes += blob.Size;
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
        var forgotten = new List<Digest>();
        await foreach (var (unit, result, lastUsed) in memory.ListAsync(cancellation))
        {
            if (lastUsed > before)
                await references.AddManifestAsync(result.Manifest, cancellation);
            else if (!references.Contains(result.Manifest))
                forgotten.Add(unit);
        }
        foreach (var unit in dryRun ? [] : forgotten)
            await memory.ForgetAsync(unit, cancellation);
        return forgotten.Count;
    }

    private async Task<bool> RemoveAsync(BlobInfo listed, DateTimeOffset before, bool dryRun, CancellationToken cancellation)
    {
        if (listed.LastUsed > before)
            return false;
        // The list may be old: whoever found the blob meanwhile has touched it, and does so before it refers to it.
        if (await store.FindAsync(listed.Digest, cancellation) is not { } now || now.LastUsed > before)
            return false;
        return dryRun || await store.DeleteAsync(listed.Digest, cancellation);
    }
}
