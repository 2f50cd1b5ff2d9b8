using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Mlflow.Client;

namespace Qbb.Registry.Mlflow.Routes;

/// <summary>
/// What is registered here as MLflow's clients know it: a model with pipelines is an experiment and a registered model, a pipeline a run, a version a
/// model version. Ids are ours.
/// </summary>
internal sealed class MlflowViews(RegistryContext context)
{
    private const string Scheme = "mlflow-artifacts:/";

    /// <summary>The folder of a version's files, and of what a run published.</summary>
    public static string FolderOf(string model, int version) => $"models/{model}/{version}";

    public async Task<List<Client.Experiment>> ExperimentsAsync(Guid? id, CancellationToken cancellation)
    {
        var models = await context.Models.AsNoTracking().Where(model => model.DeletedAt == null && (id == null || model.Id == id)).ToListAsync(cancellation);
        return [.. models.Select(model => new Client.Experiment(
            $"{model.Id:N}", model.Name, $"{Scheme}models/{model.Name}", Client.Experiment.Active, RunNotes.Milliseconds(model.CreatedAt), RunNotes.Milliseconds(model.CreatedAt),
            model.Description.Length > 0 ? [new("mlflow.note.content", model.Description)] : null))];
    }

    /// <summary>Runs without their metrics, which <see cref="MeasureAsync"/> adds.</summary>
    public async Task<List<Client.Run>> RunsAsync(IReadOnlyList<Guid> models, Guid? id, CancellationToken cancellation)
    {
        var pipelines = await context.Pipelines.AsNoTracking().Where(pipeline => id == null ? models.Contains(pipeline.ModelId) : pipeline.Id == id).ToListAsync(cancellation);
        var results = pipelines.Select(pipeline => pipeline.ResultId).OfType<Guid>().ToList();
        var numbers = await context.Versions.AsNoTracking().Where(version => results.Contains(version.Id)).Select(version => new { version.Id, version.Number })
            .ToDictionaryAsync(version => version.Id, version => version.Number, cancellation);
        return [.. pipelines.Select(pipeline => Make(pipeline, pipeline.ResultId is { } result && numbers.TryGetValue(result, out var number) ? number : null))];
    }

    private static Client.Run Make(Pipeline pipeline, int? result)
    {
        var (start, state) = (RunNotes.Start(pipeline), RunNotes.State(pipeline));
        var folder = result is { } number ? FolderOf(pipeline.ModelName, number) : $"runs/{pipeline.Id:N}";
        return new Client.Run(
            new RunInfo(
                $"{pipeline.Id:N}", $"{pipeline.ModelId:N}", start.Name, "qbb", state.Status, start.Time, state.EndTime, Scheme + folder, Client.Experiment.Active, $"{pipeline.Id:N}"),
            new RunData(null, [.. start.Parameters], [.. start.Tags, .. state.Tags.Where(tag => tag.Value.Length > 0), new("mlflow.runName", start.Name)]));
    }

    /// <summary>The same runs with the last value of every metric.</summary>
    public async Task<List<Client.Run>> MeasureAsync(IReadOnlyList<Client.Run> runs, CancellationToken cancellation)
    {
        var all = await PointsAsync([.. runs.Select(run => Guid.Parse(run.Info.RunId))], cancellation);
        return [.. runs.Select(run => run with
        {
            Data = run.Data! with
            {
                Metrics = [.. all[Guid.Parse(run.Info.RunId)].GroupBy(point => point.Key).Select(series => series.MaxBy(point => (point.Step, point.Timestamp))!)
                    .OrderBy(point => point.Key, StringComparer.Ordinal)],
            },
        })];
    }

    /// <summary>All points of runs, in the order of their steps.</summary>
    public async Task<ILookup<Guid, MetricPoint>> PointsAsync(IReadOnlyList<Guid> ids, CancellationToken cancellation)
    {
        var pipelines = await context.Pipelines.AsNoTracking().Where(pipeline => ids.Contains(pipeline.Id)).ToListAsync(cancellation);
        var units = await context.Units.AsNoTracking().Where(unit => ids.Contains(unit.PipelineId) && unit.Status == UnitStatus.Done && unit.Report != null)
            .OrderBy(unit => unit.Index).ToListAsync(cancellation);
        var results = pipelines.Select(pipeline => pipeline.ResultId).OfType<Guid>().ToList();
        var metrics = (await context.Set<Metric>().AsNoTracking().Where(metric => results.Contains(metric.VersionId)).ToListAsync(cancellation)).ToLookup(metric => metric.VersionId);
        var times = pipelines.ToDictionary(pipeline => pipeline.Id, pipeline => pipeline.ActiveAt);
        return units.SelectMany(unit => RunNotes.Points(unit, times[unit.PipelineId]).Select(point => (unit.PipelineId, Point: point)))
            .Concat(pipelines.SelectMany(pipeline => RunNotes.State(pipeline).Metrics.Select(point => (pipeline.Id, point))))
            .Concat(pipelines.SelectMany(pipeline => (pipeline.ResultId is { } result ? metrics[result] : [])
                .Select(metric => (pipeline.Id, new MetricPoint(metric.Name, metric.Value, RunNotes.Milliseconds(pipeline.EndedAt ?? pipeline.ActiveAt))))))
            .ToLookup(pair => pair.Item1, pair => pair.Item2);
    }

    /// <param name="name">Null for all.</param>
    /// <param name="cancellation">Stops.</param>
    public async Task<List<RegisteredModel>> ModelsAsync(string? name, CancellationToken cancellation)
    {
        var models = await context.Models.AsNoTracking().Include(model => model.Aliases).ThenInclude(alias => alias.Version)
            .Where(model => model.DeletedAt == null && (name == null || model.Name == name)).ToListAsync(cancellation);
        var ids = models.Select(model => model.Id).ToList();
        var newest = (await VersionsOf(context.Versions.Where(version => ids.Contains(version.ModelId)
            && version.Number == context.Versions.Where(other => other.ModelId == version.ModelId && other.DeletedAt == null).Max(other => (int?)other.Number))).ToListAsync(cancellation))
            .ToDictionary(version => version.ModelId);
        return [.. models.Select(model => new RegisteredModel(
            model.Name, RunNotes.Milliseconds(model.CreatedAt), RunNotes.Milliseconds(newest.GetValueOrDefault(model.Id)?.CreatedAt ?? model.CreatedAt),
            model.Description.Length > 0 ? model.Description : null, newest.TryGetValue(model.Id, out var latest) ? [Make(latest, null)] : null, null,
            [.. model.Aliases.Where(alias => alias.Version.DeletedAt == null).OrderBy(alias => alias.Name, StringComparer.Ordinal).Select(alias => new ModelAlias(alias.Name, $"{alias.Version.Number}"))]))];
    }

    /// <param name="name">Of the model; null for all.</param>
    /// <param name="number">Null for all.</param>
    /// <param name="withAliases">Searches leave them out, as MLflow's do.</param>
    /// <param name="cancellation">Stops.</param>
    public async Task<List<MlflowVersion>> VersionsAsync(string? name, int? number, bool withAliases, CancellationToken cancellation)
    {
        var versions = await VersionsOf(context.Versions.Where(version => version.DeletedAt == null && version.Model.DeletedAt == null
            && (name == null || version.Model.Name == name) && (number == null || version.Number == number))).ToListAsync(cancellation);
        var ids = withAliases ? versions.Select(version => version.ModelId).Distinct().ToList() : [];
        var aliases = (await context.Aliases.AsNoTracking().Where(alias => ids.Contains(alias.ModelId)).ToListAsync(cancellation)).ToLookup(alias => alias.VersionId, alias => alias.Name);
        return [.. versions.Select(version => Make(version, withAliases ? [.. aliases[version.Id].Order(StringComparer.Ordinal)] : null))];
    }

    private static IQueryable<ModelVersion> VersionsOf(IQueryable<ModelVersion> versions) => versions.AsNoTracking().AsSplitQuery()
        .Include(version => version.Model).Include(version => version.Metrics).Include(version => version.Tags)
        .Include(version => version.Lineage!).ThenInclude(lineage => lineage.Parent).ThenInclude(parent => parent.Model);

    private static MlflowVersion Make(ModelVersion version, IReadOnlyList<string>? aliases) => new(
        version.Model.Name, $"{version.Number}", RunNotes.Milliseconds(version.CreatedAt), RunNotes.Milliseconds(version.CreatedAt), "None", "",
        Scheme + FolderOf(version.Model.Name, version.Number), version.Lineage?.PipelineId is { } pipeline ? $"{pipeline:N}" : "", MlflowVersion.Ready, "",
        VersionNotes.Tags(version), aliases is { Count: > 0 } ? aliases : null);
}
