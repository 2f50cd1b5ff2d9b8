using Microsoft.EntityFrameworkCore;
using Qbb.Artifacts;
using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Models;
using Qbb.Registry.Pipelines.Machine;

namespace Qbb.Registry.Pipelines.Running;

/// <summary>Makes a finished pipeline's artifact a version of its model, inside the caller's transaction.</summary>
internal sealed class PipelinePublisher(RegistryContext context, IArtifactStore store, VersionFiler filer, Champions champions)
{
    /// <returns><see cref="PipelineEvent.Published"/>, or <see cref="PipelineEvent.PublishRefused"/> with the reason.</returns>
    public async Task<PipelineEvent> PublishAsync(Pipeline pipeline, CancellationToken cancellation)
    {
        // The last unit's figures are among those that the version gets.
        await context.SaveChangesAsync(cancellation);
        ArtifactManifest manifest;
        try
        {
            manifest = await ArtifactManifest.ReadAsync(store, Digest.Parse(pipeline.Artifact), cancellation);
            if (!await ArtifactFolders.KeepAsync(store, manifest.Digest, cancellation))
                return new PipelineEvent.PublishRefused("publish: a file of the result is gone from the store; retry makes it again");
        }
        catch (ArtifactStoreException error)
        {
            return new PipelineEvent.PublishRefused($"publish: {error.Message}");
        }
        if (await context.LockModelAsync(pipeline.ModelId, cancellation) is not { DeletedAt: null } model)
            return new PipelineEvent.PublishRefused("publish: the model was deleted meanwhile");
        var (version, _) = await filer.FileAsync(model, manifest, VersionKind.Quantized, cancellation);
        await DescribeAsync(pipeline, version, cancellation);
        await context.SaveChangesAsync(cancellation);
        await champions.ChooseAsync(model, cancellation);
        return new PipelineEvent.Published(version.Id);
    }

    private async Task DescribeAsync(Pipeline pipeline, ModelVersion version, CancellationToken cancellation)
    {
        // One that follows has no units of its own.
        var source = pipeline.LeaderId ?? pipeline.Id;
        var units = await context.Units.AsNoTracking()
            .Where(unit => unit.PipelineId == source && unit.Report != null
                && (unit.Kind == UnitKind.Evaluate || unit.Kind == UnitKind.AssembleModel || unit.Kind == UnitKind.Distil))
            .OrderBy(unit => unit.Index).ToListAsync(cancellation);
        if (context.Entry(version).State != EntityState.Added)
            await context.Entry(version).Collection(row => row.Metrics).LoadAsync(cancellation);
        foreach (var (name, value) in VersionMetrics.Of(units))
            MetricRows.Set(version, name, value);
        if (version.Lineage is null && version.Id != pipeline.SourceId)
        {
            context.Lineages.Add(new Lineage
            {
                VersionId = version.Id,
                ParentId = pipeline.SourceId,
                PipelineId = pipeline.Id,
                Recipe = pipeline.Recipe,
                RecipeJson = pipeline.RecipeJson,
                RecipeName = pipeline.RecipeName,
                Data = pipeline.Data,
                Filtered = pipeline.Filtered,
                Windows = pipeline.Windows,
                ToolVersion = Tool.Version,
                Commit = Tool.Commit,
            });
        }
    }
}
