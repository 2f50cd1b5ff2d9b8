using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Pipelines.Stages;

namespace Qbb.Registry.Pipelines;

/// <summary>Pipelines as people see them: one query a list, whatever is in it, and that of <see cref="PipelineBoard"/> for those that run.</summary>
internal sealed class PipelineViews(RegistryContext context, PipelineBoard board, TimeProvider clock)
{
    private static readonly PipelineStatus[] s_active = [PipelineStatus.Created, PipelineStatus.Following, PipelineStatus.Running];

    /// <exception cref="RefusedException">The pipeline does not exist.</exception>
    public async Task<PipelineView> GetAsync(Guid id, CancellationToken cancellation) => (await GetRowAsync(id, cancellation)).View;

    /// <exception cref="RefusedException">The pipeline does not exist.</exception>
    public async Task<(Pipeline Row, PipelineView View)> GetRowAsync(Guid id, CancellationToken cancellation)
    {
        var rows = await PipelineRow.ReadAsync(context, context.Pipelines.Where(pipeline => pipeline.Id == id), cancellation);
        return rows.Count > 0 ? (rows[0].Pipeline, (await OfAsync(rows, cancellation))[0]) : throw RefusedException.NotFound($"there is no pipeline {id}");
    }

    /// <summary>The newest first.</summary>
    /// <param name="model">A model's name; null for all.</param>
    /// <param name="state">A state; null for all.</param>
    /// <param name="after">The last of the page before.</param>
    /// <param name="limit">Most of a page.</param>
    /// <param name="cancellation">Stops.</param>
    public async Task<Page<PipelineView>> ListAsync(string? model, string? state, Guid? after, int limit, CancellationToken cancellation)
    {
        IQueryable<Pipeline> found = context.Pipelines;
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
        var rows = await PipelineRow.ReadAsync(context, found.OrderByDescending(pipeline => pipeline.Id).Take(limit + 1), cancellation);
        rows.Sort((one, other) => string.CompareOrdinal(other.Key, one.Key));
        return new(await OfAsync(rows.GetRange(0, Math.Min(limit, rows.Count)), cancellation), rows.Count > limit ? rows[limit - 1].Pipeline.Id.ToString() : null);
    }

    /// <summary>What every running pipeline has outstanding, those with nothing included.</summary>
    public async Task<IReadOnlyList<StageWork>> WorkAsync(CancellationToken cancellation)
    {
        var running = await context.Pipelines.AsNoTracking().Where(pipeline => pipeline.Status == PipelineStatus.Running)
            .OrderBy(pipeline => pipeline.Id)
            .Select(pipeline => new { pipeline.Id, pipeline.Kind, pipeline.Route, pipeline.Forecast, Units = context.Units.Count(unit => unit.PipelineId == pipeline.Id && unit.Kind == pipeline.Kind && unit.Status != UnitStatus.Done) })
            .ToListAsync(cancellation);
        return [.. running.Select(pipeline => new StageWork(
            pipeline.Id, $"{pipeline.Kind}", UnitStages.Of(pipeline.Kind).Queue ?? "", pipeline.Units, SecondsOf(pipeline.Forecast, pipeline.Kind),
            GpuBytesOf(pipeline.Forecast, pipeline.Route, pipeline.Kind)))];

        // Whoever takes the units of this kind may take those of later ones.
        static long? GpuBytesOf(PipelineForecast? forecast, PipelineRoute route, UnitKind kind) =>
            forecast?.GpuBytesOf([.. route.After(kind).Prepend(kind).Where(other => UnitStages.Of(other).Queue == UnitStages.Of(kind).Queue)]);

        static double? SecondsOf(PipelineForecast? forecast, UnitKind kind) => forecast?[kind] is > 0 and var seconds ? Math.Round(seconds, 1) : null;
    }

    /// <summary>Pipelines of some models that have not ended, the oldest first.</summary>
    public async Task<IReadOnlyList<PipelineView>> ActiveAsync(IReadOnlyCollection<Guid> models, CancellationToken cancellation)
    {
        var rows = await PipelineRow.ReadAsync(
            context, context.Pipelines.Where(pipeline => models.Contains(pipeline.ModelId) && s_active.Contains(pipeline.Status)).OrderBy(pipeline => pipeline.Id).Take(Paging.Usual),
            cancellation);
        rows.Sort((one, other) => string.CompareOrdinal(one.Key, other.Key));
        return await OfAsync(rows, cancellation);
    }

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

    private async Task<IReadOnlyList<PipelineView>> OfAsync(List<PipelineRow> rows, CancellationToken cancellation)
    {
        var queues = rows.Any(row => row.Pipeline.Status == PipelineStatus.Running) ? (await board.CurrentAsync(cancellation)).Queues : PipelineQueues.Empty;
        return [.. rows.Select(row => row.View(queues, clock.GetUtcNow()))];
    }
}

/// <summary>A pipeline with what its view needs of other rows.</summary>
/// <param name="Pipeline">Its row.</param>
/// <param name="Version">The number of the version that is quantized.</param>
/// <param name="Result">The number of the version that it created.</param>
/// <param name="Metrics">Of that version.</param>
/// <param name="Queued">Its commands that wait for their turn.</param>
internal sealed record PipelineRow(Pipeline Pipeline, int? Version, int? Result, List<Metric> Metrics, int Queued)
{
    /// <summary>Their order.</summary>
    public string Key { get; } = Pipeline.Id.ToString("N");

    /// <summary>Reads pipelines in one query.</summary>
    public static Task<List<PipelineRow>> ReadAsync(RegistryContext context, IQueryable<Pipeline> pipelines, CancellationToken cancellation) =>
        (from pipeline in pipelines
         join source in context.Versions on pipeline.SourceId equals source.Id into sources
         from source in sources.DefaultIfEmpty()
         join result in context.Versions on pipeline.ResultId equals result.Id into results
         from result in results.DefaultIfEmpty()
         select new PipelineRow(
             pipeline, (int?)source.Number, (int?)result.Number, result.Metrics.ToList(),
             context.Outbox.Count(message => message.PipelineId == pipeline.Id && message.Queue != null && message.Error == null))).AsNoTracking().ToListAsync(cancellation);

    public PipelineView View(PipelineQueues queues, DateTimeOffset now)
    {
        var place = queues.PlaceOf(Pipeline);
        return new(
            Pipeline.Id, Pipeline.ModelName, Version ?? 0, Pipeline.Recipe, Pipeline.RecipeName, PipelineProgress.StateOf(Pipeline.Status),
            Pipeline.Status == PipelineStatus.Following ? Pipeline.LeaderId : null, UnitStages.Of(Pipeline.Kind).Stage, PipelineProgress.Stages(Pipeline),
            Pipeline.Done, Pipeline.Total, Math.Round(PipelineProgress.Share(Pipeline), 4),
            TimeLeft.Estimate(Pipeline, now, place?.Seconds ?? 0) is { } left ? Math.Round(left.TotalSeconds) : null, Pipeline.Error, Pipeline.CreatedAt, Pipeline.StartedAt, Pipeline.EndedAt,
            Result is { } number ? new VersionName(Pipeline.ModelName, number) : null, Result is null ? null : Metrics.ToDictionary(metric => metric.Name, metric => metric.Value),
            Pipeline.Note, place?.Units);
    }
}
