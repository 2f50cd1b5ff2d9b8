using System.Text.Json;
using System.Text.Json.Nodes;

namespace Qbb.Registry.Tests.Mlflow;

internal sealed class FakeRun(string id, string experiment)
{
    public string Id => id;

    public string Experiment => experiment;

    public string Name { get; set; } = "";

    public string Status { get; set; } = "RUNNING";

    public string Stage { get; set; } = "active";

    public long StartTime { get; init; }

    public long? EndTime { get; set; }

    public string ArtifactUri => $"mlflow-artifacts:/{experiment}/{id}/artifacts";

    public List<JsonObject> Metrics { get; } = [];

    public Dictionary<string, string> Params { get; } = [];

    public Dictionary<string, string> Tags { get; } = [];

    public List<JsonNode> Inputs { get; } = [];

    public List<JsonNode> Outputs { get; } = [];

    /// <summary>A metric's values in the order that they arrived.</summary>
    public IEnumerable<(long Step, double Value)> Series(string key) => Metrics.Where(point => (string?)point["key"] == key)
        .Select(point => ((long)point["step"]!, point["value"]!.GetValueKind() == JsonValueKind.String ? double.NaN : (double)point["value"]!));

    public string? Find(string key)
    {
        var name = MlflowState.Unquoted(key);
        return key.Split('.')[0] switch
        {
            "tags" or "tag" => Tags.GetValueOrDefault(name),
            "params" or "param" => Params.GetValueOrDefault(name),
            _ => null,
        };
    }

    public JsonObject Info()
    {
        var info = new JsonObject
        {
            ["run_uuid"] = id,
            ["experiment_id"] = experiment,
            ["run_name"] = Name,
            ["user_id"] = "",
            ["status"] = Status,
            ["start_time"] = StartTime,
        };
        if (EndTime is { } end)
            info["end_time"] = end;
        info["artifact_uri"] = ArtifactUri;
        info["lifecycle_stage"] = Stage;
        info["run_id"] = id;
        return info;
    }

    public JsonObject ToJson(bool withOutputs)
    {
        var data = new JsonObject();
        if (Metrics.Count > 0)
            data["metrics"] = new JsonArray([.. Metrics.GroupBy(point => (string?)point["key"]).Select(group => group.Last().DeepClone())]);
        if (Params.Count > 0)
            data["params"] = Pairs(Params);
        if (Tags.Count > 0)
            data["tags"] = Pairs(Tags);
        var run = new JsonObject { ["info"] = Info(), ["data"] = data, ["inputs"] = Of("dataset_inputs", Inputs) };
        if (withOutputs)
            run["outputs"] = Of("model_outputs", Outputs);
        return run;
    }

    private static JsonObject Of(string name, List<JsonNode> items) =>
        items.Count == 0 ? [] : new JsonObject { [name] = new JsonArray([.. items.Select(item => item.DeepClone())]) };

    public static JsonArray Pairs(Dictionary<string, string> pairs) =>
        new([.. pairs.Select(pair => (JsonNode?)new JsonObject { ["key"] = pair.Key, ["value"] = pair.Value })]);
}

internal sealed class FakeModel(string name)
{
    private readonly long _created = MlflowState.Now();

    public string Name { get; set; } = name;

    public string? Description { get; set; }

    public Dictionary<string, string> Tags { get; } = [];

    public Dictionary<string, string> Aliases { get; } = [];

    public List<FakeVersion> Versions { get; } = [];

    public JsonObject ToJson()
    {
        var model = new JsonObject { ["name"] = Name, ["creation_timestamp"] = _created, ["last_updated_timestamp"] = _created };
        if (!string.IsNullOrEmpty(Description))
            model["description"] = Description;
        if (Versions.LastOrDefault(version => !version.IsDeleted) is { } latest)
            model["latest_versions"] = new JsonArray(latest.ToJson(null));
        if (Tags.Count > 0)
            model["tags"] = FakeRun.Pairs(Tags);
        if (Aliases.Count > 0)
            model["aliases"] = new JsonArray([.. Aliases.Select(alias => (JsonNode?)new JsonObject { ["alias"] = alias.Key, ["version"] = alias.Value })]);
        return model;
    }
}

internal sealed class FakeVersion(string name, string number, string source)
{
    private readonly long _created = MlflowState.Now();

    public string Name { get; set; } = name;

    public string Number => number;

    public string Source => source;

    public string Run { get; init; } = "";

    public string Link { get; init; } = "";

    /// <summary>The logged model.</summary>
    public string? Model { get; init; }

    public string? Description { get; set; }

    public string Stage { get; set; } = "None";

    public bool IsDeleted { get; set; }

    public Dictionary<string, string> Tags { get; } = [];

    public string? Find(string key) => key switch
    {
        "name" => Name,
        "source_path" => source,
        "run_id" => Run,
        _ => Tags.GetValueOrDefault(MlflowState.Unquoted(key)),
    };

    /// <param name="model">Where aliases are shown: answers to searches have none.</param>
    public JsonObject ToJson(FakeModel? model)
    {
        var version = new JsonObject
        {
            ["name"] = Name,
            ["version"] = number,
            ["creation_timestamp"] = _created,
            ["last_updated_timestamp"] = _created,
            ["current_stage"] = Stage,
            ["description"] = Description,
            ["source"] = source,
            ["run_id"] = Run,
            ["status"] = "READY",
        };
        if (Tags.Count > 0)
            version["tags"] = FakeRun.Pairs(Tags);
        version["run_link"] = Link;
        if (model?.Aliases.Where(alias => alias.Value == number).Select(alias => (JsonNode?)alias.Key).ToArray() is { Length: > 0 } aliases)
            version["aliases"] = new JsonArray(aliases);
        return version;
    }
}
