using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Models;
using Qbb.Registry.Pipelines.Machine;

namespace Qbb.Registry.Pipelines;

/// <summary>Pipelines as people see them.</summary>
internal sealed class PipelineViews(RegistryContext context, TimeProvider clock)
{
    public async Task<PipelineView?> FindAsync(Guid id, CancellationToken cancellation) =>
        (await OfAsync(await context.Pipelines.AsNoTracking().Where(pipeline => pipeline.Id == id).ToListAsync(cancellation), cancellation))
        .FirstOrDefault();

    public async Task<IReadOnlyList<PipelineView>> OfAsync(IReadOnlyList<Pipeline> pipelines, CancellationToken cancellation)
    {
        var versions = pipelines.Select(pipeline => pipeline.SourceId).Concat(pipelines.Select(pipeline => pipeline.ResultId).OfType<Guid>()).ToList();
        var rows = await context.Versions.AsNoTracking().Where(version => versions.Contains(version.Id))
            .Include(version => version.Model).Include(version => version.Metrics).ToDictionaryAsync(version => version.Id, cancellation);
        var views = new List<PipelineView>();
        foreach (var pipeline in pipelines)
            views.Add(Make(pipeline, rows, await EarlierAsync(pipeline, cancellation)));
        return views;
    }

    private PipelineView Make(Pipeline pipeline, Dictionary<Guid, ModelVersion> versions, IReadOnlyList<KindTime> earlier)
    {
        var result = pipeline.ResultId is { } id ? versions.GetValueOrDefault(id) : null;
        return new PipelineView(
            pipeline.Id, pipeline.ModelName, versions.GetValueOrDefault(pipeline.SourceId)?.Number ?? 0, pipeline.Recipe, pipeline.RecipeName,
            PipelineProgress.StateOf(pipeline.Status), pipeline.Status == PipelineStatus.Following ? pipeline.LeaderId : null,
            Stages.Of(pipeline.Kind), PipelineProgress.Stages(pipeline), pipeline.Done, pipeline.Total,
            Math.Round(PipelineProgress.Share(pipeline), 4), TimeLeft.Estimate(pipeline, earlier, clock.GetUtcNow()) is { } left ? Math.Round(left.TotalSeconds) : null,
            pipeline.Error, pipeline.CreatedAt, pipeline.StartedAt, pipeline.EndedAt,
            result is null ? null : new VersionName(result.Model.Name, result.Number), result is null ? null : Champions.MetricsOf(result));
    }

    /// <summary>What the kinds of work took a pipeline before, one as alike as there is.</summary>
    private async Task<IReadOnlyList<KindTime>> EarlierAsync(Pipeline pipeline, CancellationToken cancellation)
    {
        if (pipeline.Status != PipelineStatus.Running)
            return [];
        return await context.Pipelines.AsNoTracking()
            .Where(other => other.Status == PipelineStatus.Succeeded && other.LeaderId == null)
            .OrderByDescending(other => other.Model == pipeline.Model && other.Recipe == pipeline.Recipe)
            .ThenByDescending(other => other.Recipe == pipeline.Recipe).ThenByDescending(other => other.EndedAt)
            .Select(other => other.Times).FirstOrDefaultAsync(cancellation) ?? [];
    }
}
