using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Pipelines.Stages;

namespace Qbb.Registry.Pipelines;

/// <summary>Pipelines as people see them.</summary>
internal sealed class PipelineViews(RegistryContext context, TimeProvider clock)
{
    private static readonly PipelineStatus[] s_active = [PipelineStatus.Created, PipelineStatus.Following, PipelineStatus.Running];

    public async Task<PipelineView?> FindAsync(Guid id, CancellationToken cancellation) =>
        (await OfAsync(await context.Pipelines.AsNoTracking().Where(pipeline => pipeline.Id == id).ToListAsync(cancellation), cancellation))
        .FirstOrDefault();

    /// <exception cref="RefusedException">There is none.</exception>
    public async Task<PipelineView> GetAsync(Guid id, CancellationToken cancellation) => (await GetRowAsync(id, cancellation)).View;

    /// <exception cref="RefusedException">There is none.</exception>
    public async Task<(Pipeline Row, PipelineView View)> GetRowAsync(Guid id, CancellationToken cancellation)
    {
        var row = await context.Pipelines.AsNoTracking().FirstOrDefaultAsync(pipeline => pipeline.Id == id, cancellation)
            ?? throw RefusedException.NotFound($"there is no pipeline {id}");
        return (row, (await OfAsync([row], cancellation))[0]);
    }

    /// <summary>The newest first.</summary>
    /// <param name="model">A model's name; null for all.</param>
    /// <param name="state">A state; null for all.</param>
    /// <param name="after">The last of the page before.</param>
    /// <param name="limit">Most of a page.</param>
    /// <param name="cancellation">Stops.</param>
    public async Task<Page<PipelineView>> ListAsync(string? model, string? state, Guid? after, int limit, CancellationToken cancellation)
    {
        var found = context.Pipelines.AsNoTracking();
        if (model is not null)
            found = found.Where(pipeline => pipeline.ModelName == model);
        if (state is not null)
        {
            var wanted = PipelineProgress.StatusesOf(state);
            found = found.Where(pipeline => wanted.Contains(pipeline.Status));
        }
        // Ids rise with time.
        if (after is { } last)
            found = found.Where(pipeline => pipeline.Id.CompareTo(last) < 0);
        var rows = await found.OrderByDescending(pipeline => pipeline.Id).Take(limit + 1).ToListAsync(cancellation);
        return new(await OfAsync([.. rows.Take(limit)], cancellation), rows.Count > limit ? rows[limit - 1].Id.ToString() : null);
    }

    /// <summary>What every running pipeline has outstanding, those with nothing included.</summary>
    public async Task<IReadOnlyList<StageWork>> WorkAsync(CancellationToken cancellation)
    {
        var running = await context.Pipelines.AsNoTracking().Where(pipeline => pipeline.Status == PipelineStatus.Running)
            .OrderBy(pipeline => pipeline.Id)
            .Select(pipeline => new { pipeline.Id, pipeline.Kind, Units = context.Units.Count(unit => unit.PipelineId == pipeline.Id && unit.Kind == pipeline.Kind && unit.Status != UnitStatus.Done) })
            .ToListAsync(cancellation);
        return [.. running.Select(pipeline => new StageWork(pipeline.Id, $"{pipeline.Kind}", UnitStages.Of(pipeline.Kind).Queue ?? "", pipeline.Units))];
    }

    /// <summary>Pipelines of some models that have not ended, the oldest first.</summary>
    public async Task<IReadOnlyList<PipelineView>> ActiveAsync(IReadOnlyCollection<Guid> models, CancellationToken cancellation) =>
        await OfAsync(await context.Pipelines.AsNoTracking().Where(pipeline => models.Contains(pipeline.ModelId) && s_active.Contains(pipeline.Status))
            .OrderBy(pipeline => pipeline.Id).Take(Paging.Usual).ToListAsync(cancellation), cancellation);

    public async Task<IReadOnlyDictionary<PipelineStatus, int>> CountAsync(CancellationToken cancellation) =>
        await context.Pipelines.AsNoTracking().GroupBy(pipeline => pipeline.Status)
            .Select(group => new { group.Key, Count = group.Count() }).ToDictionaryAsync(group => group.Key, group => group.Count, cancellation);

    /// <summary>The rounds of a distillation, and units that failed and are not done.</summary>
    public Task<List<PipelineUnit>> NotableUnitsAsync(Pipeline pipeline, CancellationToken cancellation)
    {
        // One that follows has no units of its own.
        var source = pipeline.LeaderId ?? pipeline.Id;
        return context.Units.AsNoTracking()
            .Where(unit => unit.PipelineId == source && (unit.Kind == DistilStage.Kind || unit.Error != null && unit.Status != UnitStatus.Done))
            .OrderBy(unit => unit.Kind).ThenBy(unit => unit.Index).Take(Paging.Most).ToListAsync(cancellation);
    }

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
            UnitStages.Of(pipeline.Kind).Stage, PipelineProgress.Stages(pipeline), pipeline.Done, pipeline.Total,
            Math.Round(PipelineProgress.Share(pipeline), 4), TimeLeft.Estimate(pipeline, earlier, clock.GetUtcNow()) is { } left ? Math.Round(left.TotalSeconds) : null,
            pipeline.Error, pipeline.CreatedAt, pipeline.StartedAt, pipeline.EndedAt,
            result is null ? null : new VersionName(result.Model.Name, result.Number), result is null ? null : result.MetricsByName, pipeline.Note);
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
