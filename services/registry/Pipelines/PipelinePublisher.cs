using System.Text.Json.Nodes;
using Microsoft.EntityFrameworkCore;
using Qbb.Artifacts;
using Qbb.Contracts;
using Qbb.Registry.Aliases;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Pipelines.Machine;
using Qbb.Registry.Pipelines.Stages;
using Qbb.Registry.Versions;

namespace Qbb.Registry.Pipelines;

/// <summary>Makes a finished pipeline's artifact a version of its model.</summary>
internal sealed class PipelinePublisher(RegistryContext context, IArtifactStore store, VersionFiler filer, Champions champions, TimeProvider clock)
{
    /// <summary>Reads what is to be published, before the transaction: in it nothing waits for a store.</summary>
    /// <returns>The manifest, or the reason why it cannot be published.</returns>
    /// <exception cref="StoreAwayException">It may be read later.</exception>
    public async Task<(ArtifactManifest? Manifest, string? Refusal)> ReadAsync(Pipeline pipeline, CancellationToken cancellation)
    {
        try
        {
            var manifest = await ArtifactManifest.ReadAsync(store, Digest.Parse(pipeline.Artifact), cancellation);
            return await ArtifactFolders.KeepAsync(store, manifest.Digest, cancellation)
                ? (manifest, null)
                : (null, "publish: a file of the result is gone from the store; retry makes it again");
        }
        catch (ArtifactStoreException error) when (error is not StoreAwayException)
        {
            return (null, $"publish: {ServerPaths.Hide(error.Message)}");
        }
    }

    /// <summary>Files the version, inside the caller's transaction.</summary>
    /// <returns><see cref="PipelineEvent.Published"/>, or <see cref="PipelineEvent.PublishRefused"/> with the reason.</returns>
    public async Task<PipelineEvent> FileAsync(Pipeline pipeline, ArtifactManifest manifest, CancellationToken cancellation)
    {
        if (await context.LockModelAsync(pipeline.ModelId, cancellation) is not { DeletedAt: null } model)
            return new PipelineEvent.PublishRefused("publish: the model was deleted meanwhile");
        var (version, _) = await filer.FileAsync(model, manifest, VersionKind.Quantized, cancellation);
        await DescribeAsync(pipeline, version, cancellation);
        await context.SaveChangesAsync(cancellation);
        await champions.ChooseAsync(model, isAsked: false, cancellation);
        return new PipelineEvent.Published(version.Id);
    }

    private async Task<VersionProvenance> ProvenanceOfAsync(Pipeline pipeline, Guid source, Guid version, CancellationToken cancellation)
    {
        var units = await context.Units.AsNoTracking().Where(unit => unit.PipelineId == source && unit.Result != null).ToListAsync(cancellation);
        var kinds = pipeline.Route.Kinds().ToList();
        return new VersionProvenance
        {
            VersionId = version,
            Base = pipeline.Model,
            StartedAt = units.Count > 0 ? pipeline.StartedAt : null,
            FinishedAt = clock.GetUtcNow(),
            Units =
            [
                .. from unit in units
                   orderby kinds.IndexOf(unit.Kind), unit.Index
                   select new ProvenUnit(
                       $"{unit.Kind}", unit.Index, unit.Key!, unit.Result!, unit.Command is { } command ? JsonNode.Parse(command)!.AsObject() : null,
                       unit.Size, unit.Environment, unit.Report),
            ],
        };
    }

    private async Task DescribeAsync(Pipeline pipeline, ModelVersion version, CancellationToken cancellation)
    {
        // One that follows has no units of its own.
        var source = pipeline.LeaderId ?? pipeline.Id;
        var units = await context.Units.AsNoTracking()
            .Where(unit => unit.PipelineId == source && unit.Report != null
                && (unit.Kind == EvaluateStage.Kind || unit.Kind == AssembleStage.Kind || unit.Kind == DistilStage.Kind))
            .OrderBy(unit => unit.Index).ToListAsync(cancellation);
        if (context.Entry(version).State != EntityState.Added)
            await context.Entry(version).Collection(row => row.Metrics).LoadAsync(cancellation);
        foreach (var (name, value) in VersionMetrics.Of(units))
            version.SetMetric(name, value);
        if (version.Lineage is null && version.Id != pipeline.SourceId)
        {
            context.Lineages.Add(new VersionLineage
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
                Note = pipeline.Note,
                ToolVersion = Tool.Version,
                Commit = Tool.Commit,
            });
            context.Provenances.Add(await ProvenanceOfAsync(pipeline, source, version.Id, cancellation));
        }
    }
}

/// <summary>A version's figures out of what the units report.</summary>
internal static class VersionMetrics
{
    /// <param name="units">Units with reports, in their order, so that sums come out the same every time.</param>
    public static IEnumerable<(string Name, double Value)> Of(IReadOnlyList<PipelineUnit> units)
    {
        var reports = units.Where(unit => unit.Report is not null).Select(unit => (unit.Kind, Report: unit.Report!)).ToList();
        if (reports.Select(unit => unit.Report.Sums).OfType<ScoreSums>().ToList() is { Count: > 0 } all)
        {
            var sums = all.Aggregate((a, b) => a + b);
            yield return (MetricNames.Perplexity, Math.Exp(sums.CrossEntropy / sums.Positions));
            yield return (MetricNames.TeacherPerplexity, Math.Exp(sums.TeacherCrossEntropy / sums.Positions));
            yield return (MetricNames.Kl, sums.Divergence / sums.Positions);
            yield return (MetricNames.Top1, (double)sums.Agreements / sums.Positions);
        }
        // The evaluation measures the model that is published; assembling measures the one before distillation.
        var measured = reports.LastOrDefault(unit => unit.Kind == EvaluateStage.Kind).Report;
        if (measured?.BitsPerWeight is { } bits)
            yield return (MetricNames.BitsPerWeight, bits);
        if (measured?.BitsPerParameter is { } whole)
            yield return (MetricNames.BitsPerParameter, whole);
        if (measured?.Bytes is { } bytes)
            yield return (MetricNames.Bytes, bytes);
        if (reports.FirstOrDefault(unit => unit.Kind == AssembleStage.Kind).Report?.RelativeError is { } error)
            yield return (MetricNames.RelativeError, error);
        if (reports.LastOrDefault(unit => unit.Kind == DistilStage.Kind).Report is { StartKl: { } before, Kl: { } after })
        {
            yield return (MetricNames.HeldOutKlBefore, before);
            yield return (MetricNames.HeldOutKlAfter, after);
        }
    }
}
