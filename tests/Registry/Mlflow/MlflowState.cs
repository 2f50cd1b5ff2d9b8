using System.Text.Json;
using System.Text.Json.Nodes;

namespace Qbb.Registry.Tests.Mlflow;

/// <summary>What an MLflow server remembers, and what its routes do with it. Here: tracking, and what all routes share.</summary>
internal sealed partial class MlflowState
{
    private const string Api = "/api/2.0/mlflow/";
    private const string ArtifactsRoute = "/api/2.0/mlflow-artifacts/artifacts";
    private const string Mpu = "/api/2.0/mlflow-artifacts/mpu/";
    private static readonly string[] s_activeOnly = ["active"];
    private readonly List<JsonObject> _experiments = [];
    private readonly Dictionary<string, List<byte[]?>> _uploads = [];

    public static JsonSerializerOptions Json { get; } = new();

    public List<FakeRun> Runs { get; } = [];

    public List<FakeModel> Models { get; } = [];

    public List<JsonObject> LoggedModels { get; } = [];

    public Dictionary<string, byte[]> Artifacts { get; } = [];

    public Dictionary<string, byte[]> Parts { get; } = [];

    /// <summary>Whether routes of 3.x are missing.</summary>
    public bool IsVersion2 { get; set; }

    /// <summary>Whether the artifact store takes files in parts.</summary>
    public bool HasMultipart { get; set; }

    public static JsonObject Error(string code, string message) => new() { ["error_code"] = code, ["message"] = message };

    /// <summary>The path of an artifact that is read or written as bytes; null for all other routes.</summary>
    public static string? Artifact(string method, string path) => method is "GET" or "PUT" && path.StartsWith(ArtifactsRoute + "/", StringComparison.Ordinal)
        ? path[(ArtifactsRoute.Length + 1)..] : null;

    public (JsonNode?, byte[]?) Files(string method, string path, byte[] body)
    {
        if (method == "GET")
            return (null, Artifacts.TryGetValue(path, out var file) ? file : throw new FakeMlflowException(404, "RESOURCE_DOES_NOT_EXIST", $"No such artifact: '{path}'"));
        Artifacts[path] = body;
        return (new JsonObject(), null);
    }

    public JsonNode Answer(string method, string path, JsonObject p, Uri address)
    {
        if (path == ArtifactsRoute)
            return new JsonObject { ["files"] = List(Artifacts.Keys, Text(p, "path") ?? "", relative: true) };
        if (path.StartsWith(Mpu, StringComparison.Ordinal))
            return Multipart(path[Mpu.Length..].Split('/')[0], p, address);
        if (method == "DELETE" && path.StartsWith(ArtifactsRoute + "/", StringComparison.Ordinal))
        {
            Artifacts.Remove(path[(ArtifactsRoute.Length + 1)..]);
            return new JsonObject();
        }
        if (!path.StartsWith(Api, StringComparison.Ordinal))
            throw new FakeMlflowException(404, "ENDPOINT_NOT_FOUND", $"The requested URL {path} was not found");
        var route = path[Api.Length..];
        if (route.StartsWith("logged-models", StringComparison.Ordinal) && !IsVersion2)
            return Logged(method, route.Split('/'), p);
        return (method, route) switch
        {
            ("POST", "experiments/create") => CreateExperiment(p),
            ("GET", "experiments/get") => new JsonObject { ["experiment"] = ExperimentOf(Needed(p, "experiment_id")).DeepClone() },
            ("GET", "experiments/get-by-name") => new JsonObject
            {
                ["experiment"] = (_experiments.Find(one => Text(one, "name") == Needed(p, "experiment_name"))
                    ?? throw Missing($"Could not find experiment with name '{Text(p, "experiment_name")}'")).DeepClone(),
            },
            ("POST", "experiments/search") => Paged(p, "experiments", _experiments.Where(one => Matches(p, key => key == "name" ? Text(one, "name") : null))),
            ("POST", "experiments/update") => Change(() => ExperimentOf(Needed(p, "experiment_id"))["name"] = Needed(p, "new_name")),
            ("POST", "experiments/delete") => Change(() => ExperimentOf(Needed(p, "experiment_id"))["lifecycle_stage"] = "deleted"),
            ("POST", "experiments/restore") => Change(() => ExperimentOf(Needed(p, "experiment_id"))["lifecycle_stage"] = "active"),
            ("POST", "experiments/set-experiment-tag") => Change(() =>
            {
                var experiment = ExperimentOf(Needed(p, "experiment_id"));
                if (experiment["tags"] is null)
                    experiment["tags"] = new JsonArray();
                Set(experiment["tags"]!.AsArray(), Needed(p, "key"), Needed(p, "value"));
            }),
            ("POST", "runs/create") => CreateRun(p),
            ("GET", "runs/get") => new JsonObject { ["run"] = RunOf(p).ToJson(withOutputs: true) },
            ("POST", "runs/update") => UpdateRun(p),
            ("POST", "runs/search") => Paged(p, "runs", Runs.Where(run => run.Stage == "active" && p["experiment_ids"]!.AsArray().Any(id => (string?)id == run.Experiment) && Matches(p, run.Find))
                .Select(run => run.ToJson(withOutputs: true))),
            ("POST", "runs/delete") => Change(() => RunOf(p).Stage = "deleted"),
            ("POST", "runs/restore") => Change(() => RunOf(p).Stage = "active"),
            ("POST", "runs/log-metric") => Change(() => ActiveRun(p).Metrics.Add(MetricOf(p))),
            ("POST", "runs/log-parameter") => Change(() => LogParameter(ActiveRun(p), Needed(p, "key"), Text(p, "value") ?? "")),
            ("POST", "runs/set-tag") => Change(() => ActiveRun(p).Tags[Needed(p, "key")] = Text(p, "value") ?? ""),
            ("POST", "runs/delete-tag") => Change(() =>
            {
                if (!ActiveRun(p).Tags.Remove(Needed(p, "key")))
                    throw Missing($"No tag with name: {Text(p, "key")} in run with id {Text(p, "run_id")}");
            }),
            ("POST", "runs/log-batch") => LogBatch(p),
            ("POST", "runs/log-inputs") => Change(() =>
            {
                foreach (var input in p["datasets"]!.AsArray())
                {
                    if (Text(input!["dataset"]!.AsObject(), "digest")!.Length > 36)
                        throw Invalid("Dataset digest exceeds the maximum length of 36");
                    if (!ActiveRun(p).Inputs.Any(known => JsonNode.DeepEquals(known["dataset"], input["dataset"])))
                        RunOf(p).Inputs.Add(input!.DeepClone());
                }
            }),
            ("POST", "runs/outputs") when !IsVersion2 => Change(() =>
            {
                foreach (var model in p["models"]!.AsArray())
                {
                    // A primary key of the database.
                    if (ActiveRun(p).Outputs.Any(known => (string?)known["model_id"] == (string?)model!["model_id"]))
                        throw new FakeMlflowException(500, "INTERNAL_ERROR", "UNIQUE constraint failed: inputs");
                    RunOf(p).Outputs.Add(model!.DeepClone());
                }
            }),
            ("GET", "metrics/get-history") => History(p),
            ("GET", "artifacts/list") => new JsonObject
            {
                ["root_uri"] = RunOf(p).ArtifactUri,
                ["files"] = List(Below(RunOf(p)), Text(p, "path") ?? "", relative: false),
            },
            ("POST", "registered-models/create") => CreateModel(p),
            ("GET", "registered-models/get") => Model(ModelOf(p)),
            ("GET", "registered-models/search") => Paged(p, "registered_models", Models.Where(model => Matches(p, key => key == "name" ? model.Name : model.Tags.GetValueOrDefault(Unquoted(key)))).Select(model => model.ToJson())),
            ("PATCH", "registered-models/update") => Then(ModelOf(p), model => model.Description = Text(p, "description")),
            ("POST", "registered-models/rename") => Then(ModelOf(p), model =>
            {
                model.Name = Needed(p, "new_name");
                model.Versions.ForEach(version => version.Name = model.Name);
            }),
            ("DELETE", "registered-models/delete") => Change(() => Models.Remove(ModelOf(p))),
            ("POST", "registered-models/set-tag") => Change(() => ModelOf(p).Tags[Needed(p, "key")] = Text(p, "value") ?? ""),
            ("POST", "registered-models/alias") => Change(() =>
            {
                VersionOf(p);
                ModelOf(p).Aliases[Needed(p, "alias")] = Needed(p, "version");
            }),
            ("GET", "registered-models/alias") => Version(ModelOf(p).Aliases.TryGetValue(Needed(p, "alias"), out var number)
                ? ModelOf(p).Versions.Find(version => version.Number == number)! : throw Invalid($"Registered model alias {Text(p, "alias")} not found.")),
            ("DELETE", "registered-models/alias") => Change(() => ModelOf(p).Aliases.Remove(Needed(p, "alias"))),
            ("POST", "registered-models/get-latest-versions") => new JsonObject { ["model_versions"] = new JsonArray([.. ModelOf(p).Versions.Where(version => !version.IsDeleted).TakeLast(1).Select(version => version.ToJson(ModelOf(p)))]) },
            ("POST", "model-versions/create") => CreateVersion(p),
            ("GET", "model-versions/get") => Version(VersionOf(p)),
            ("GET", "model-versions/search") => Paged(p, "model_versions", Models.SelectMany(model => model.Versions).Where(version => !version.IsDeleted && Matches(p, version.Find)).Select(version => version.ToJson(null))),
            ("GET", "model-versions/get-download-uri") => new JsonObject { ["artifact_uri"] = VersionOf(p).Source },
            ("PATCH", "model-versions/update") => Version(VersionOf(p), version => version.Description = Text(p, "description")),
            ("POST", "model-versions/transition-stage") => Version(VersionOf(p), version => version.Stage = Needed(p, "stage")),
            ("POST", "model-versions/set-tag") => Change(() => VersionOf(p).Tags[Needed(p, "key")] = Text(p, "value") ?? ""),
            ("DELETE", "model-versions/delete-tag") => Change(() => VersionOf(p).Tags.Remove(Needed(p, "key"))),
            ("DELETE", "model-versions/delete") => Change(() => VersionOf(p).IsDeleted = true),
            _ => throw new FakeMlflowException(404, "ENDPOINT_NOT_FOUND", $"The requested URL {path} was not found"),
        };
    }

    public static long Now() => DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();

    private static JsonObject Change(Action change)
    {
        change();
        return [];
    }

    private JsonObject CreateExperiment(JsonObject p)
    {
        var name = Needed(p, "name");
        if (_experiments.Any(one => Text(one, "name") == name))
            throw new FakeMlflowException(400, "RESOURCE_ALREADY_EXISTS", $"Experiment(name={name}) already exists.");
        var id = $"{_experiments.Count + 1}";
        var experiment = new JsonObject
        {
            ["experiment_id"] = id,
            ["name"] = name,
            ["artifact_location"] = Text(p, "artifact_location") ?? $"mlflow-artifacts:/{id}",
            ["lifecycle_stage"] = "active",
            ["last_update_time"] = Now(),
            ["creation_time"] = Now(),
        };
        if (p["tags"] is JsonArray { Count: > 0 } tags)
            experiment["tags"] = tags.DeepClone();
        _experiments.Add(experiment);
        return new JsonObject { ["experiment_id"] = id };
    }

    private JsonObject ExperimentOf(string id) => _experiments.Find(one => Text(one, "experiment_id") == id) ?? throw Missing($"No Experiment with id={id} exists");

    private JsonObject CreateRun(JsonObject p)
    {
        var experiment = ExperimentOf(Needed(p, "experiment_id"));
        if (!s_activeOnly.Contains(Text(experiment, "lifecycle_stage")))
            throw Invalid($"The experiment {Text(experiment, "experiment_id")} must be in the 'active' state.");
        var run = new FakeRun(Guid.NewGuid().ToString("N"), Text(p, "experiment_id")!)
        {
            Name = Text(p, "run_name") ?? "brave-newt-1",
            StartTime = (long?)p["start_time"] ?? 0,
        };
        foreach (var tag in p["tags"]?.AsArray() ?? [])
            run.Tags[Text(tag!.AsObject(), "key")!] = Text(tag!.AsObject(), "value")!;
        run.Tags["mlflow.runName"] = run.Name;
        Runs.Add(run);
        return new JsonObject { ["run"] = run.ToJson(withOutputs: false) };
    }

    private JsonObject UpdateRun(JsonObject p)
    {
        var run = ActiveRun(p);
        run.Status = Text(p, "status") ?? run.Status;
        run.EndTime = p["end_time"] is { } end ? (long)end : run.EndTime;
        run.Name = Text(p, "run_name") ?? run.Name;
        return new JsonObject { ["run_info"] = run.Info() };
    }

    private JsonObject LogBatch(JsonObject p)
    {
        var (metrics, parameters, tags) = (p["metrics"]?.AsArray() ?? [], p["params"]?.AsArray() ?? [], p["tags"]?.AsArray() ?? []);
        foreach (var (count, most, what) in new[] { (metrics.Count, 1000, "metrics"), (parameters.Count, 100, "params"), (tags.Count, 100, "tags") })
        {
            if (count > most)
                throw Invalid($"A batch logging request can contain at most {most} {what}. Got {count} {what}. Please split up {what} across multiple requests and try again.");
        }
        if (metrics.Count + parameters.Count + tags.Count > 1000)
            throw Invalid($"A batch logging request can contain at most 1000 metrics, params, and tags. Got {metrics.Count + parameters.Count + tags.Count}.");
        var run = ActiveRun(p);
        foreach (var parameter in parameters)
            LogParameter(run, Needed(parameter!.AsObject(), "key"), Text(parameter!.AsObject(), "value") ?? "");
        foreach (var metric in metrics)
            run.Metrics.Add(MetricOf(metric!.AsObject()));
        foreach (var tag in tags)
            run.Tags[Needed(tag!.AsObject(), "key")] = Text(tag!.AsObject(), "value") ?? "";
        return [];
    }

    private static void LogParameter(FakeRun run, string key, string value)
    {
        value = value.Length > 6000 ? value[..6000] : value;
        if (key.Length > 250)
            throw Invalid($"'key' exceeds the maximum length of 250 characters");
        if (run.Params.TryGetValue(key, out var there) && there != value)
            throw Invalid($"Changing param values is not allowed. Param with key='{key}' was already logged with value='{there}' for run ID='{run.Id}'. Attempted logging new value '{value}'.");
        run.Params[key] = value;
    }

    private static JsonObject MetricOf(JsonObject p) => new()
    {
        ["key"] = Needed(p, "key"),
        ["value"] = p["value"]!.DeepClone(),
        ["timestamp"] = (p["timestamp"] ?? throw Invalid("Missing value for required parameter 'timestamp'")).DeepClone(),
        ["step"] = p["step"]?.DeepClone() ?? 0,
    };

    // As a real 3.6 server does: no page size gives an empty page with a token for the same page.
    private JsonObject History(JsonObject p)
    {
        var points = RunOf(p).Metrics.Where(point => Text(point, "key") == Needed(p, "metric_key")).ToList();
        if (p["max_results"] is null)
            return new JsonObject { ["next_page_token"] = Token(0) };
        return Paged(p, "metrics", points);
    }

    private FakeRun RunOf(JsonObject p) => Runs.Find(run => run.Id == Needed(p, "run_id")) ?? throw Missing($"Run with id={Text(p, "run_id")} not found");

    private FakeRun ActiveRun(JsonObject p) => RunOf(p) is { Stage: "active" } run ? run
        : throw Invalid($"The run {Text(p, "run_id")} must be in the 'active' state. Current state is deleted.");

    public static string Unquoted(string key) => key[(key.IndexOf('.') + 1)..].Trim('`', '"');

    private static void Set(JsonArray tags, string key, string value)
    {
        if (tags.FirstOrDefault(tag => (string?)tag!["key"] == key) is { } there)
            there["value"] = value;
        else
            tags.Add(new JsonObject { ["key"] = key, ["value"] = value });
    }

    private static string? Text(JsonObject p, string name) => p[name]?.ToString();

    private static string Needed(JsonObject p, string name) => Text(p, name) is { Length: > 0 } text ? text
        : throw Invalid($"Missing value for required parameter '{name}'. See the API docs for more information about request parameters.");

    private static FakeMlflowException Invalid(string message) => new(400, "INVALID_PARAMETER_VALUE", message);

    private static FakeMlflowException Missing(string message) => new(404, "RESOURCE_DOES_NOT_EXIST", message);
}
