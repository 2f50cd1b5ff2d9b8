using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Mlflow.Client;

namespace Qbb.Registry.Mlflow;

/// <summary>Brings runs up to date.</summary>
internal sealed class MlflowRuns(RegistryContext context, IMlflowApi api, MlflowExperiment experiment, MlflowLinks links)
{
    /// <param name="pipeline">Whose run.</param>
    /// <param name="note">What is new.</param>
    /// <param name="isAgain">An earlier attempt may have had an effect.</param>
    /// <param name="cancellation">Stops.</param>
    public async Task ApplyAsync(Guid pipeline, RunNote note, bool isAgain, CancellationToken cancellation)
    {
        var (run, isFound) = await FindOrCreateAsync(experiment.Id, pipeline, note.Start, cancellation);
        if (run is null)
            return;
        List<MetricPoint> points = [.. note.Points, .. note.State is { } state ? [.. state.Metrics, .. await FinalAsync(state, cancellation)] : Array.Empty<MetricPoint>()];
        if (isAgain || isFound)
            points = await MissingAsync(run, points, cancellation);
        await api.LogAsync(run, points, note.Start?.Parameters ?? [], note.State?.Tags ?? [], cancellation);
        if (note.State is { } known && RunNotes.Datasets(known) is { Count: > 0 } datasets)
            await api.LogInputsAsync(new RunInputs(run, datasets), cancellation);
        if (note.State is { } end)
            await api.UpdateRunAsync(new RunUpdate(run, end.Status, end.EndTime), cancellation);
    }

    /// <summary>Whether a pipeline's run takes what is logged: it is there, and nobody deleted it.</summary>
    public async Task<bool> IsOpenAsync(Guid pipeline, CancellationToken cancellation) => await links.FindAsync(pipeline, cancellation) is { } link
        && (await api.GetRunAsync(link.RemoteId, cancellation)).Run.Info.LifecycleStage is null or Client.Experiment.Active;

    /// <returns>The run's id, null where the pipeline was removed before anything was sent; and whether it was there although we did not know.</returns>
    private async Task<(string? Run, bool IsFound)> FindOrCreateAsync(string experimentId, Guid pipeline, RunStart? start, CancellationToken cancellation)
    {
        if (await links.FindAsync(pipeline, cancellation) is { } link)
            return (link.RemoteId, false);
        var found = (await api.SearchRunsAsync(new RunSearch([experimentId], 1, $"tags.`{RunNotes.PipelineTag}` = '{pipeline}'"), cancellation)).Runs;
        if (found is [var there, ..])
        {
            await links.AddAsync(pipeline, there.Info.RunId, "", cancellation);
            return (there.Info.RunId, true);
        }
        // MLflow was configured after the pipeline began: its row tells the rest.
        if (start is null && await context.Pipelines.AsNoTracking().FirstOrDefaultAsync(row => row.Id == pipeline, cancellation) is { } row)
        {
            start = RunNotes.Start(row);
            var (late, isFound) = await FindOrCreateAsync(experimentId, pipeline, start, cancellation);
            await api.LogAsync(late!, [], start.Parameters, [], cancellation);
            return (late, isFound);
        }
        if (start is null)
            return (null, false);
        var tags = start.Tags.Append(new KeyValue("qbb.url", links.Of($"pipelines/{pipeline}"))).Select(tag => new KeyValue(tag.Key, MlflowLimits.Cut(tag.Value, MlflowLimits.TagValue)));
        var created = (await api.CreateRunAsync(new RunCreation(experimentId, start.Name, start.Time, [.. tags]), cancellation)).Run.Info.RunId;
        await links.AddAsync(pipeline, created, "", cancellation);
        return (created, false);
    }

    /// <summary>The published version's metrics are the run's results.</summary>
    private async Task<IEnumerable<MetricPoint>> FinalAsync(RunState state, CancellationToken cancellation)
    {
        if (state is not { ResultId: { } result, EndTime: { } time })
            return [];
        var metrics = await context.Set<Metric>().AsNoTracking().Where(metric => metric.VersionId == result).OrderBy(metric => metric.Name).ToListAsync(cancellation);
        return metrics.Select(metric => new MetricPoint(metric.Name, metric.Value, time));
    }

    // MLflow appends what it is sent: what an earlier attempt brought is left out.
    private async Task<List<MetricPoint>> MissingAsync(string run, List<MetricPoint> points, CancellationToken cancellation)
    {
        var there = new HashSet<MetricPoint>();
        foreach (var key in points.Select(point => point.Key).Distinct())
            there.UnionWith(await api.HistoryAsync(run, key, cancellation));
        return [.. points.Where(point => !there.Contains(point))];
    }
}

/// <summary>What our things are called in MLflow, and links back to them.</summary>
internal sealed class MlflowLinks(RegistryContext context, MlflowOptions options)
{
    public Task<MlflowLink?> FindAsync(Guid subject, CancellationToken cancellation) =>
        context.MlflowLinks.AsNoTracking().FirstOrDefaultAsync(link => link.SubjectId == subject, cancellation);

    public async Task<MlflowLink> AddAsync(Guid subject, string remote, string name, CancellationToken cancellation)
    {
        var link = new MlflowLink { SubjectId = subject, RemoteId = remote, Name = name };
        context.MlflowLinks.Add(link);
        await context.SaveChangesAsync(cancellation);
        context.Entry(link).State = EntityState.Detached;
        return link;
    }

    public Task RemoveAsync(Guid subject, CancellationToken cancellation) =>
        context.MlflowLinks.Where(link => link.SubjectId == subject).ExecuteDeleteAsync(cancellation);

    /// <summary>The address of a page here.</summary>
    public string Of(string path) => $"{options.PublicUrl!.TrimEnd('/')}/{path}";
}
