using Microsoft.EntityFrameworkCore;
using Qbb.Artifacts;
using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Pipelines;

namespace Qbb.Registry.Collecting;

/// <summary>The blobs that something still needs.</summary>
internal sealed class References(RegistryContext context, IArtifactStore store)
{
    private const int AtOnce = 32;
    private readonly HashSet<Digest> _all = [];

    public bool Contains(Digest digest) => _all.Contains(digest);

    /// <summary>Gathers what the database refers to.</summary>
    /// <param name="purged">Versions whose files count no more.</param>
    /// <param name="now">The time.</param>
    /// <param name="retry">Pipelines that failed or were cancelled since then can be retried.</param>
    /// <param name="cancellation">Stops.</param>
    public async Task GatherAsync(IReadOnlySet<Guid> purged, DateTimeOffset now, DateTimeOffset retry, CancellationToken cancellation)
    {
        await foreach (var version in context.Versions.AsNoTracking().Where(version => version.PurgedAt == null)
            .Select(version => new { version.Id, version.Manifest }).AsAsyncEnumerable().WithCancellation(cancellation))
        {
            if (!purged.Contains(version.Id))
                _all.Add(Digest.Parse(version.Manifest));
        }
        await foreach (var file in context.Files.AsNoTracking().Select(file => new { file.VersionId, file.Digest })
            .AsAsyncEnumerable().WithCancellation(cancellation))
        {
            if (!purged.Contains(file.VersionId))
                _all.Add(Digest.Parse(file.Digest));
        }
        await foreach (var lease in context.Leases.AsNoTracking().Where(lease => lease.ExpiresAt > now).Select(lease => lease.Digest)
            .AsAsyncEnumerable().WithCancellation(cancellation))
        {
            _all.Add(Digest.Parse(lease));
        }
        await GatherPoliciesAsync(cancellation);
        await GatherPipelinesAsync(retry, cancellation);
    }

    /// <summary>Adds manifests and the files that they list; one that is gone, or is not a manifest, is added by itself.</summary>
    public Task AddManifestsAsync(IEnumerable<Digest> manifests, CancellationToken cancellation) => Parallel.ForEachAsync(
        manifests.Where(_all.Add).ToList(), new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = cancellation }, async (manifest, stop) =>
        {
            try
            {
                var files = (await ArtifactManifest.ReadAsync(store, manifest, stop)).Files.Values;
                lock (_all)
                    _all.UnionWith(files.Select(file => file.Digest));
            }
            // What a store that is away does not tell must not be taken for nothing.
            catch (ArtifactStoreException error) when (error is not StoreAwayException)
            {
            }
        });

    // The text that a policy's recipes score on is to be there when the next upload comes.
    private async Task GatherPoliciesAsync(CancellationToken cancellation)
    {
        foreach (var policy in await context.Policies.AsNoTracking().ToListAsync(cancellation))
        {
            foreach (var recipe in policy.Recipes)
                _all.UnionWith(RecipeIntake.BlobsOf(PipelineRecipe.Parse(recipe.Json)));
        }
    }

    private async Task GatherPipelinesAsync(DateTimeOffset retry, CancellationToken cancellation)
    {
        var active = await context.Pipelines.AsNoTracking()
            .Where(pipeline => pipeline.Status == PipelineStatus.Created || pipeline.Status == PipelineStatus.Running || pipeline.Status == PipelineStatus.Following
                || pipeline.Status != PipelineStatus.Succeeded && pipeline.EndedAt > retry)
            .ToListAsync(cancellation);
        var manifests = new List<string>();
        foreach (var pipeline in active)
        {
            _all.UnionWith(RecipeIntake.BlobsOf(PipelineRecipe.Parse(pipeline.RecipeJson)));
            manifests.Add(pipeline.Model);
        }
        foreach (var some in active.Select(pipeline => pipeline.Id).Chunk(AtOnce))
        {
            manifests.AddRange(await context.Units.AsNoTracking().Where(unit => some.Contains(unit.PipelineId) && unit.Result != null)
                .Select(unit => unit.Result!).ToListAsync(cancellation));
        }
        await AddManifestsAsync(manifests.Select(Digest.Parse), cancellation);
    }
}
