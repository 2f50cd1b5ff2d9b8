using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Registry.Http;
using Qbb.Registry.Mlflow.Client;
using Qbb.Registry.Versions;

namespace Qbb.Registry.Mlflow.Routes;

/// <summary>MLflow's REST interface over the registry, read-only: its Python client and command browse here as they would an MLflow server.</summary>
internal static class MlflowRoutes
{
    private const int MostExperiments = 1000;
    private const int MostRuns = 50_000;
    private const int MostModels = 1000;
    private const int MostVersions = 200_000;

    private static readonly MlflowSearch<Client.Experiment> s_experiments = new(
        [
            new("name", false, item => item.Name), new("experiment_id", false, item => item.ExperimentId),
            new("creation_time", true, item => (double?)item.CreationTime), new("last_update_time", true, item => (double?)item.LastUpdateTime),
        ],
        Tags<Client.Experiment>(item => item.Tags), ["name", "experiment_id", "creation_time", "last_update_time"]);

    private static readonly MlflowSearch<Client.Run> s_runs = new(
        [
            new("run_id", false, run => run.Info.RunId), new("run_name", false, run => run.Info.RunName), new("status", false, run => $"{run.Info.Status}".ToUpperInvariant()),
            new("user_id", false, run => run.Info.UserId), new("artifact_uri", false, run => run.Info.ArtifactUri), new("experiment_id", false, run => run.Info.ExperimentId),
            new("start_time", true, run => (double?)run.Info.StartTime), new("created", true, run => (double?)run.Info.StartTime), new("end_time", true, run => (double?)run.Info.EndTime),
        ],
        Maps<Client.Run>(
            (["metrics", "metric"], new SearchMap<Client.Run>(true, (run, key) => run.Data!.Metrics?.FirstOrDefault(point => point.Key == key)?.Value)),
            (["params", "param", "parameters", "parameter"], new SearchMap<Client.Run>(false, (run, key) => Find(run.Data!.Params, key))),
            (["tags", "tag"], new SearchMap<Client.Run>(false, (run, key) => Find(run.Data!.Tags, key)))),
        ["run_id", "run_name", "status", "user_id", "artifact_uri", "start_time", "created", "end_time"]);

    private static readonly MlflowSearch<RegisteredModel> s_models = new(
        [new("name", false, model => model.Name), .. Times<RegisteredModel>(model => model.CreationTimestamp, model => model.LastUpdatedTimestamp)],
        Tags<RegisteredModel>(model => model.Tags), ["name", "timestamp", "creation_timestamp", "last_updated_timestamp"]);

    private static readonly MlflowSearch<MlflowVersion> s_versions = new(
        [
            new("name", false, version => version.Name), new("version_number", true, version => (double?)long.Parse(version.Version, null)), new("run_id", false, version => version.RunId),
            new("source_path", false, version => version.Source), .. Times<MlflowVersion>(version => version.CreationTimestamp, version => version.LastUpdatedTimestamp),
        ],
        Tags<MlflowVersion>(version => version.Tags), ["name", "version_number", "timestamp", "creation_timestamp", "last_updated_timestamp"]);

    public static IServiceCollection AddMlflowRoutes(this IServiceCollection services) => services.AddScoped<MlflowViews>();

    public static void MapMlflowRoutes(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/2.0/mlflow").ExcludeFromDescription().DisableAntiforgery();
        group.AddEndpointFilter(AnswerAsync);
        foreach (var search in (string[])["GET", "POST"])
            group.MapMethods("/experiments/search", [search], (Asked asked, MlflowViews views, CancellationToken cancellation) => SearchExperimentsAsync(asked, views, cancellation));
        group.MapGet("/experiments/get", async (Asked asked, MlflowViews views, CancellationToken cancellation) =>
            new ExperimentAnswer(await ExperimentAsync(asked.Needed("experiment_id"), views, cancellation)));
        group.MapGet("/experiments/get-by-name", async (Asked asked, MlflowViews views, CancellationToken cancellation) =>
            new ExperimentAnswer((await views.ExperimentsAsync(null, cancellation)).Find(one => one.Name == asked.Needed("experiment_name"))
                ?? throw MlflowRefusal.Missing($"Could not find experiment with name '{asked["experiment_name"]}'")));
        group.MapPost("/runs/search", SearchRunsAsync);
        group.MapGet("/runs/get", async (Asked asked, MlflowViews views, CancellationToken cancellation) =>
            new RunAnswer((await views.MeasureAsync([await RunAsync(asked, views, cancellation)], cancellation))[0]));
        group.MapGet("/metrics/get-history", HistoryAsync);
        group.MapGet("/artifacts/list", ListAsync);
        group.MapGet("/registered-models/search", SearchModelsAsync);
        group.MapGet("/registered-models/get", async (Asked asked, MlflowViews views, CancellationToken cancellation) =>
            new RegisteredModelAnswer(await ModelAsync(asked.Needed("name"), views, cancellation)));
        group.MapGet("/registered-models/alias", AliasAsync);
        foreach (var latest in (string[])["GET", "POST"])
        {
            group.MapMethods("/registered-models/get-latest-versions", [latest], async (Asked asked, MlflowViews views, CancellationToken cancellation) =>
                new ModelVersionPage((await ModelAsync(asked.Needed("name"), views, cancellation)).LatestVersions));
        }
        group.MapGet("/model-versions/search", SearchVersionsAsync);
        group.MapGet("/model-versions/get", async (Asked asked, MlflowViews views, CancellationToken cancellation) =>
            new ModelVersionAnswer(await VersionAsync(asked.Needed("name"), asked.Needed("version"), views, cancellation)));
        group.MapGet("/model-versions/get-download-uri", async (Asked asked, MlflowViews views, CancellationToken cancellation) =>
            new DownloadUri((await VersionAsync(asked.Needed("name"), asked.Needed("version"), views, cancellation)).Source!));
        group.Map("/{**route}", Refuse);

        var files = routes.MapGroup("/api/2.0/mlflow-artifacts").ExcludeFromDescription().DisableAntiforgery();
        files.AddEndpointFilter(AnswerAsync);
        files.MapGet("/artifacts", async (Asked asked, [AsParameters] VersionServices services) => new ArtifactPage(Files: await FilesAsync(asked["path"] ?? "", services)));
        files.MapGet("/artifacts/{**path}", DownloadAsync);
        files.Map("/{**route}", Refuse);
    }

    private static async Task<object> SearchExperimentsAsync(Asked asked, MlflowViews views, CancellationToken cancellation)
    {
        var found = (await views.ExperimentsAsync(null, cancellation)).Where(s_experiments.Filter(MlflowFilter.Parse(asked["filter"])));
        var sorted = s_experiments.Sort(found, asked.List("order_by"), ["creation_time DESC", "experiment_id"]);
        var (items, next) = MlflowPaging.Page(sorted, MlflowPaging.SizeOf(asked.Number("max_results"), MostExperiments, MostExperiments), MlflowPaging.OffsetOf(asked["page_token"]));
        return new ExperimentPage(items, next);
    }

    private static async Task<object> SearchRunsAsync(Asked asked, MlflowViews views, CancellationToken cancellation)
    {
        var (clauses, orders) = (MlflowFilter.Parse(asked["filter"]), asked.List("order_by"));
        var (size, offset) = (MlflowPaging.SizeOf(asked.Number("max_results"), 1000, MostRuns), MlflowPaging.OffsetOf(asked["page_token"]));
        var filter = s_runs.Filter(clauses);
        IReadOnlyList<Client.Run> runs = await views.RunsAsync([.. asked.List("experiment_ids").Select(id => Guid.TryParse(id, out var known) ? known : Guid.Empty)], null, cancellation);
        // Metrics of runs outside the page are read only if the filter or the order uses them.
        var isMeasured = clauses.Select(clause => clause.Key).Concat(orders.Select(order => MlflowFilter.ParseOrder(order).Key)).Any(key => key.Entity is "metrics" or "metric");
        if (isMeasured)
            runs = await views.MeasureAsync(runs, cancellation);
        var shown = asked["run_view_type"] == "DELETED_ONLY" ? [] : s_runs.Sort(runs.Where(filter), orders, ["start_time DESC", "run_id"]);
        var (items, next) = MlflowPaging.Page(shown, size, offset);
        return new RunPage(isMeasured ? items : await views.MeasureAsync(items, cancellation), next);
    }

    private static async Task<object> HistoryAsync(Asked asked, MlflowViews views, CancellationToken cancellation)
    {
        var (run, key) = (await RunAsync(asked, views, cancellation), asked.Needed("metric_key"));
        var points = (await views.PointsAsync([Guid.Parse(run.Info.RunId)], cancellation))[Guid.Parse(run.Info.RunId)].Where(point => point.Key == key)
            .OrderBy(point => point.Timestamp).ThenBy(point => point.Step);
        var (items, next) = MlflowPaging.Page(points, MlflowPaging.SizeOf(asked.Number("max_results"), MlflowLimits.History, MlflowLimits.History), MlflowPaging.OffsetOf(asked["page_token"]));
        return new MetricPage(items, next);
    }

    private static async Task<object> SearchModelsAsync(Asked asked, MlflowViews views, CancellationToken cancellation)
    {
        var clauses = MlflowFilter.Parse(asked["filter"]);
        var found = (await views.ModelsAsync(NameOf(clauses), cancellation)).Where(s_models.Filter(clauses));
        var (items, next) = MlflowPaging.Page(
            s_models.Sort(found, asked.List("order_by"), ["name"]), MlflowPaging.SizeOf(asked.Number("max_results"), 100, MostModels), MlflowPaging.OffsetOf(asked["page_token"]));
        return new RegisteredModelPage(items, next);
    }

    private static async Task<object> SearchVersionsAsync(Asked asked, MlflowViews views, CancellationToken cancellation)
    {
        var clauses = MlflowFilter.Parse(asked["filter"]);
        var found = (await views.VersionsAsync(NameOf(clauses), null, withAliases: false, cancellation)).Where(s_versions.Filter(clauses));
        var sorted = s_versions.Sort(found, asked.List("order_by"), ["last_updated_timestamp DESC", "name", "version_number DESC"]);
        var (items, next) = MlflowPaging.Page(sorted, MlflowPaging.SizeOf(asked.Number("max_results"), 10_000, MostVersions), MlflowPaging.OffsetOf(asked["page_token"]));
        return new ModelVersionPage(items, next);
    }

    private static async Task<object> AliasAsync(Asked asked, MlflowViews views, CancellationToken cancellation)
    {
        var model = await ModelAsync(asked.Needed("name"), views, cancellation);
        var alias = model.Aliases!.FirstOrDefault(known => known.Alias == asked.Needed("alias")) ?? throw MlflowRefusal.Invalid($"Registered model alias {asked["alias"]} not found.");
        return new ModelVersionAnswer(await VersionAsync(model.Name, alias.Version, views, cancellation));
    }

    private static async Task<object> ListAsync(Asked asked, MlflowViews views, [AsParameters] VersionServices services)
    {
        var run = await RunAsync(asked, views, services.Cancellation);
        var (root, path) = (MlflowFiles.PathOf(run.Info.ArtifactUri!)!, asked["path"] ?? "");
        var files = root.StartsWith("runs/", StringComparison.Ordinal) ? [] : await FilesAsync(path.Length == 0 ? root : $"{root}/{path}", services);
        return new ArtifactPage(run.Info.ArtifactUri, [.. files.Select(file => path.Length == 0 ? file : file with { Path = $"{path}/{file.Path}" })]);
    }

    /// <summary>What is directly in a folder: models/NAME/NUMBER and below.</summary>
    private static async Task<IReadOnlyList<ArtifactFile>> FilesAsync(string path, VersionServices services)
    {
        if (path.Trim('/').Split('/') is not ["models", var name, var number, .. var below])
            throw MlflowRefusal.Missing($"No artifacts at '{path}': those of a version are at models/NAME/NUMBER");
        var version = await services.Finder.VersionAsync(name, number, services.Cancellation);
        var folder = below.Length == 0 ? "" : string.Join('/', below) + "/";
        var files = (await services.Views.OfVersionAsync(version.Id, services.Cancellation)).Files!.Where(file => file.Name.StartsWith(folder, StringComparison.Ordinal));
        return [.. files.GroupBy(file => file.Name[folder.Length..].Split('/')[0]).Select(group => group.First() is var first && first.Name == folder + group.Key
            ? new ArtifactFile(group.Key, false, first.Size) : new ArtifactFile(group.Key, true))];
    }

    private static async Task<IResult> DownloadAsync(string path, [AsParameters] VersionServices services)
    {
        if (path.Split('/') is not ["models", var name, var number, _, ..])
            throw MlflowRefusal.Missing($"No such artifact: '{path}'");
        var version = await services.Finder.VersionAsync(name, number, services.Cancellation);
        var file = (await services.Views.OfVersionAsync(version.Id, services.Cancellation)).Files!.FirstOrDefault(file => path.EndsWith($"/{number}/{file.Name}", StringComparison.Ordinal))
            ?? throw MlflowRefusal.Missing($"No such artifact: '{path}'");
        return new BlobResult(file.Digest, file.Size, Path.GetFileName(file.Name));
    }

    private static async Task<Client.Experiment> ExperimentAsync(string id, MlflowViews views, CancellationToken cancellation) =>
        Guid.TryParse(id, out var known) && await views.ExperimentsAsync(known, cancellation) is [var found, ..] ? found : throw MlflowRefusal.Missing($"No Experiment with id={id} exists");

    private static async Task<Client.Run> RunAsync(Asked asked, MlflowViews views, CancellationToken cancellation)
    {
        var id = asked["run_id"] ?? asked["run_uuid"] ?? asked.Needed("run_id");
        return Guid.TryParse(id, out var known) && await views.RunsAsync([], known, cancellation) is [var found, ..] ? found : throw MlflowRefusal.Missing($"Run with id={id} not found");
    }

    private static async Task<RegisteredModel> ModelAsync(string name, MlflowViews views, CancellationToken cancellation) =>
        await views.ModelsAsync(name, cancellation) is [var found, ..] ? found : throw MlflowRefusal.Missing($"Registered Model with name={name} not found");

    private static async Task<MlflowVersion> VersionAsync(string name, string version, MlflowViews views, CancellationToken cancellation) =>
        int.TryParse(version, out var number) && await views.VersionsAsync(name, number, withAliases: true, cancellation) is [var found, ..]
            ? found : throw MlflowRefusal.Missing($"Model Version (name={name}, version={version}) not found");

    /// <summary>The one name that a filter allows, so that not all are read.</summary>
    private static string? NameOf(IReadOnlyList<FilterClause> clauses) =>
        clauses.FirstOrDefault(clause => clause is { Key: { Entity: null, Key: "name" }, Comparison: Comparison.Equal, Values: [{ Text: not null }] })?.Values[0].Text;

    private static object Refuse(HttpRequest request) => throw (HttpMethods.IsGet(request.Method)
        ? new MlflowRefusal(StatusCodes.Status404NotFound, MlflowCodes.EndpointNotFound, $"{request.Path} is not among the MLflow routes of this registry")
        : new MlflowRefusal(StatusCodes.Status403Forbidden, "PERMISSION_DENIED", $"{request.Method} {request.Path}: the MLflow routes of this registry are read-only; use its own API, or qbb"));

    private static async ValueTask<object?> AnswerAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        try
        {
            var answer = await next(context);
            return answer as IResult ?? Results.Json(answer, MlflowConnection.Json);
        }
        catch (MlflowRefusal refusal)
        {
            return Error(refusal.Status, refusal.Code, refusal.Message);
        }
        catch (RefusedException refused)
        {
            return Error(refused.Status, refused.Status == StatusCodes.Status404NotFound ? MlflowCodes.DoesNotExist : MlflowCodes.InvalidParameter, refused.Message);
        }
    }

    private static IResult Error(int status, string code, string message) => Results.Json(new JsonObject { ["error_code"] = code, ["message"] = message }, statusCode: status);

    private static string? Find(IReadOnlyList<KeyValue>? pairs, string key) => pairs?.FirstOrDefault(pair => pair.Key == key)?.Value;

    private static Dictionary<string, SearchMap<T>> Tags<T>(Func<T, IReadOnlyList<KeyValue>?> read) =>
        Maps<T>((["tags", "tag"], new SearchMap<T>(false, (item, key) => Find(read(item), key))));

    private static Dictionary<string, SearchMap<T>> Maps<T>(params (string[] Names, SearchMap<T> Map)[] maps) =>
        maps.SelectMany(map => map.Names.Select(name => (name, map.Map))).ToDictionary(map => map.name, map => map.Map);

    private static SearchField<T>[] Times<T>(Func<T, long?> created, Func<T, long?> updated) =>
    [
        new("creation_timestamp", true, item => (double?)created(item)), new("last_updated_timestamp", true, item => (double?)updated(item)),
        new("timestamp", true, item => (double?)updated(item)),
    ];
}

/// <summary>Parameters of a request: by its query, or by the JSON of its body.</summary>
internal sealed class Asked
{
    private readonly Dictionary<string, List<string>> _values = [];
    private bool _isUnreadable;

    /// <exception cref="MlflowRefusal">The body is not JSON.</exception>
    public string? this[string name] => List(name) is [{ Length: > 0 } first, ..] ? first : null;

    public IReadOnlyList<string> List(string name) => _isUnreadable
        ? throw new MlflowRefusal(StatusCodes.Status400BadRequest, "BAD_REQUEST", "the body of the request is not a JSON object")
        : _values.GetValueOrDefault(name) ?? [];

    public int? Number(string name) => this[name] is not { } text ? null
        : int.TryParse(text, out var number) ? number : throw MlflowRefusal.Invalid($"Invalid value '{text}' for parameter '{name}' supplied: it must be a number");

    /// <exception cref="MlflowRefusal">It is missing.</exception>
    public string Needed(string name) => this[name]
        ?? throw MlflowRefusal.Invalid($"Missing value for required parameter '{name}'. See the API docs for more information about request parameters.");

    public static async ValueTask<Asked> BindAsync(HttpContext http)
    {
        var asked = new Asked();
        foreach (var (name, values) in http.Request.Query)
            asked._values[name] = [.. values.OfType<string>()];
        if (!HttpMethods.IsPost(http.Request.Method))
            return asked;
        try
        {
            var body = await JsonNode.ParseAsync(http.Request.Body, cancellationToken: http.RequestAborted) as JsonObject;
            asked._isUnreadable = body is null;
            foreach (var (name, value) in body ?? [])
                asked._values[name] = value is JsonArray items ? [.. items.Select(item => $"{item}")] : [$"{value}"];
        }
        catch (Exception error) when (error is JsonException or ArgumentException)
        {
            asked._isUnreadable = true;
        }
        return asked;
    }
}
