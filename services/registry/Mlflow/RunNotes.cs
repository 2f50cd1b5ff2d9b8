using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Qbb.Registry.Data;
using Qbb.Registry.Mlflow.Client;

namespace Qbb.Registry.Mlflow;

/// <summary>What one save says of a pipeline's run.</summary>
/// <param name="Start">What the run is created with; null where it began before.</param>
/// <param name="Points">Metrics of units that are done.</param>
/// <param name="State">Its new state; null for none.</param>
internal sealed record RunNote(RunStart? Start, IReadOnlyList<MetricPoint> Points, RunState? State)
{
    private static readonly JsonSerializerOptions s_json = new(JsonSerializerDefaults.Web)
    {
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
        Converters = { new JsonStringEnumConverter() },
    };

    public string ToJson() => JsonSerializer.Serialize(this, s_json);

    public static RunNote Parse(string json) => JsonSerializer.Deserialize<RunNote>(json, s_json)!;

    /// <summary>Several notes, in their order, as one.</summary>
    public static RunNote Merge(IReadOnlyList<RunNote> notes) => new(
        notes.Select(note => note.Start).FirstOrDefault(start => start is not null),
        [.. notes.SelectMany(note => note.Points)],
        notes.Select(note => note.State).LastOrDefault(state => state is not null));
}

/// <param name="Name">Recipe and model.</param>
/// <param name="Time">Milliseconds since 1970.</param>
/// <param name="Parameters">The recipe, flat.</param>
/// <param name="Tags">Digests and lineage.</param>
internal sealed record RunStart(string Name, long Time, IReadOnlyList<KeyValue> Parameters, IReadOnlyList<KeyValue> Tags);

/// <param name="Status">Of the run.</param>
/// <param name="EndTime">Null while it runs.</param>
/// <param name="Tags">Results by digest, or the error.</param>
/// <param name="Metrics">How long the stages took.</param>
/// <param name="ResultId">The version that was published, whose metrics become the run's.</param>
internal sealed record RunState(RunStatus Status, long? EndTime, IReadOnlyList<KeyValue> Tags, IReadOnlyList<MetricPoint> Metrics, Guid? ResultId);

/// <summary>Pipelines and their units in MLflow's terms.</summary>
internal static class RunNotes
{
    private static readonly (string Tag, string Name, string Context)[] s_datasets =
        [("qbb.data", "sampled", "training"), ("qbb.filtered", "filtered", "training"), ("qbb.windows", "windows", "evaluation")];

    /// <summary>By this tag runs are found again.</summary>
    public const string PipelineTag = "qbb.pipeline";

    public static RunStart Start(Pipeline pipeline) => new(
        $"{pipeline.RecipeName ?? pipeline.Recipe[..12]} {pipeline.ModelName}", Milliseconds(pipeline.CreatedAt),
        [.. Flatten("", JsonNode.Parse(pipeline.RecipeJson))],
        [
            new(PipelineTag, $"{pipeline.Id}"), new("qbb.model", pipeline.ModelName), new("qbb.source", pipeline.Model), new("qbb.recipe", pipeline.Recipe),
            new("qbb.recipeName", pipeline.RecipeName ?? ""), new("qbb.version", Tool.Version), new("qbb.commit", Tool.Commit ?? ""),
            new("mlflow.user", "qbb"), new("mlflow.source.name", "qbb"), new("mlflow.source.type", "JOB"),
        ]);

    public static RunState State(Pipeline pipeline)
    {
        var results = new[]
        {
            ("qbb.error", pipeline.HasEnded ? pipeline.Error ?? "" : ""), ("qbb.artifact", pipeline.Artifact), ("qbb.student", pipeline.Student), ("qbb.data", pipeline.Data),
            ("qbb.filtered", pipeline.Filtered), ("qbb.windows", pipeline.Windows),
        };
        var time = Milliseconds(pipeline.EndedAt ?? pipeline.ActiveAt);
        return new RunState(
            StatusOf(pipeline.Status), pipeline.EndedAt is { } end ? Milliseconds(end) : null,
            [.. results.Where(pair => pair.Item2 is not null).Select(pair => new KeyValue(pair.Item1, pair.Item2!))],
            pipeline.HasEnded ? [.. pipeline.Times.Select(stage => new MetricPoint($"{stage.Kind}/seconds", stage.Seconds, time))] : [],
            pipeline.ResultId);
    }

    /// <summary>The data that a run made and used; MLflow knows each of them once, however often it is told.</summary>
    public static IReadOnlyList<DatasetInput> Datasets(RunState state) =>
    [
        .. from kind in s_datasets
           join tag in state.Tags on kind.Tag equals tag.Key
           select new DatasetInput(
               new Dataset(kind.Name, MlflowLimits.Cut(tag.Value, MlflowLimits.Digest), "qbb", new JsonObject { ["manifest"] = tag.Value }.ToJsonString()),
               [new("mlflow.data.context", kind.Context)]),
    ];

    public static RunStatus StatusOf(PipelineStatus status) => status switch
    {
        PipelineStatus.Succeeded => RunStatus.Finished,
        PipelineStatus.Failed => RunStatus.Failed,
        PipelineStatus.Cancelled => RunStatus.Killed,
        _ => RunStatus.Running,
    };

    /// <summary>A unit's report as points of its stage's series.</summary>
    public static IEnumerable<MetricPoint> Points(PipelineUnit unit, DateTimeOffset now)
    {
        if (unit.Report is not { } report)
            yield break;
        var (kind, time, step) = ($"{unit.Kind}", Milliseconds(unit.DoneAt ?? now), report.Step ?? unit.Index);
        if (report.StartKl is { } start && unit.Index == 0)
            yield return new MetricPoint($"{kind}/kl", start, time, 0);
        var values = new List<(string Name, double? Value)>
        {
            ("relativeError", report.RelativeError), ("kl", report.Kl), ("bitsPerWeight", unit.Index == 0 ? report.BitsPerWeight : null),
        };
        if (report.Sums is { Positions: > 0 } sums)
        {
            values.Add(("perplexity", Math.Exp(sums.CrossEntropy / sums.Positions)));
            values.Add(("teacherPerplexity", Math.Exp(sums.TeacherCrossEntropy / sums.Positions)));
            values.Add(("kl", sums.Divergence / sums.Positions));
            values.Add(("top1", (double)sums.Agreements / sums.Positions));
        }
        foreach (var (name, value) in values)
        {
            if (value is { } known)
                yield return new MetricPoint($"{kind}/{name}", known, time, step);
        }
    }

    public static long Milliseconds(DateTimeOffset time) => time.ToUnixTimeMilliseconds();

    /// <summary>Members by their path: decomposition.bases = 3.</summary>
    public static IEnumerable<KeyValue> Flatten(string path, JsonNode? node) => node switch
    {
        JsonObject members => members.SelectMany(member => Flatten(path.Length == 0 ? member.Key : $"{path}.{member.Key}", member.Value)),
        JsonValue value when value.TryGetValue<string>(out var text) => [new(path, text)],
        _ => [new(path, node?.ToJsonString() ?? "null")],
    };
}

/// <summary>Versions in MLflow's terms.</summary>
internal static class VersionNotes
{
    /// <summary>By this tag logged models are found again.</summary>
    public const string ManifestTag = "qbb.manifest";

    /// <summary>Tags that we set, and bring up to date later: metrics, what people noted, and where the version comes from.</summary>
    public static IReadOnlyList<KeyValue> Tags(ModelVersion version) =>
    [
        new("qbb.model", version.Model.Name), new("qbb.version", $"{version.Number}"), new(ManifestTag, version.Manifest), new("qbb.kind", Wire.NameOf(version.Kind)),
        new("qbb.state", version.DeletedAt is null ? "available" : "deleted"),
        .. version.Lineage is { } lineage
            ? new KeyValue[] { new("qbb.parent", $"{lineage.Parent.Model.Name}/{lineage.Parent.Number}"), new("qbb.recipe", lineage.Recipe), new("qbb.pipeline", $"{lineage.PipelineId}") } : [],
        .. version.Metrics.OrderBy(metric => metric.Name, StringComparer.Ordinal).Select(metric => new KeyValue(metric.Name, metric.Value.ToString("R", CultureInfo.InvariantCulture))),
        .. version.Tags.OrderBy(tag => tag.Key, StringComparer.Ordinal).Select(tag => new KeyValue(tag.Key, tag.Value)),
    ];
}
