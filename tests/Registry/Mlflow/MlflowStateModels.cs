using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Qbb.Registry.Tests.Mlflow;

/// <summary>Logged and registered models, their versions, and the artifact store; pages and filters of all searches.</summary>
internal sealed partial class MlflowState
{
    private JsonObject Logged(string method, string[] route, JsonObject p)
    {
        if (method == "POST" && route is [_])
        {
            var id = $"m-{Guid.NewGuid():N}";
            var info = new JsonObject
            {
                ["model_id"] = id,
                ["experiment_id"] = Needed(p, "experiment_id"),
                ["name"] = Text(p, "name"),
                ["creation_timestamp_ms"] = Now(),
                ["last_updated_timestamp_ms"] = Now(),
                ["artifact_uri"] = $"mlflow-artifacts:/{Text(p, "experiment_id")}/models/{id}/artifacts",
                ["status"] = "LOGGED_MODEL_PENDING",
                ["source_run_id"] = Text(p, "source_run_id"),
                ["tags"] = p["tags"]?.DeepClone() ?? new JsonArray(),
            };
            LoggedModels.Add(new JsonObject { ["info"] = info, ["data"] = new JsonObject { ["params"] = p["params"]?.DeepClone() } });
            return new JsonObject { ["model"] = LoggedModels[^1].DeepClone() };
        }
        if (method == "POST" && route is [_, "search"])
            return Paged(p, "models", LoggedModels.Where(model => p["experiment_ids"]!.AsArray().Any(id => (string?)id == (string?)model["info"]!["experiment_id"])
                && Matches(p, key => key.StartsWith("tags.", StringComparison.Ordinal)
                    ? (string?)model["info"]!["tags"]!.AsArray().FirstOrDefault(tag => (string?)tag!["key"] == Unquoted(key))?["value"] : (string?)model["info"]![key])));
        var found = LoggedModels.Find(model => (string?)model["info"]!["model_id"] == route[1]) ?? throw Missing($"Logged model with ID '{route[1]}' not found.");
        switch (method, route.Length)
        {
            case ("GET", 2):
                break;
            case ("PATCH", 2):
                found["info"]!["status"] = Needed(p, "status");
                break;
            case ("PATCH", 3):
                foreach (var tag in p["tags"]!.AsArray())
                    Set(found["info"]!["tags"]!.AsArray(), Text(tag!.AsObject(), "key")!, Text(tag!.AsObject(), "value")!);
                return [];
            case ("DELETE", 2):
                LoggedModels.Remove(found);
                return [];
        }
        return new JsonObject { ["model"] = found.DeepClone() };
    }

    private JsonObject Multipart(string action, JsonObject p, Uri address)
    {
        if (!HasMultipart)
            throw new FakeMlflowException(501, "NOT_IMPLEMENTED", "Multipart upload is not supported for the current artifact repository");
        if (action == "create")
        {
            var (id, count) = ($"u{_uploads.Count}", (int)p["num_parts"]!);
            _uploads[id] = new List<byte[]?>(new byte[count][]);
            return new JsonObject
            {
                ["upload_id"] = id,
                ["credentials"] = new JsonArray([.. Enumerable.Range(1, count).Select(number => (JsonNode?)new JsonObject
                {
                    ["url"] = new Uri(address, $"/parts/{id}/{number}").AbsoluteUri,
                    ["part_number"] = number,
                    ["headers"] = new JsonObject { ["x-part"] = "signed" },
                })]),
            };
        }
        var upload = Needed(p, "upload_id");
        if (action == "abort")
            return Change(() => _uploads.Remove(upload));
        var parts = p["parts"]!.AsArray();
        if (parts.Count != _uploads[upload].Count || parts.Any(part => string.IsNullOrEmpty((string?)part!["etag"])))
            throw Invalid("a part is missing");
        Artifacts[Needed(p, "path")] = [.. parts.SelectMany(part => Parts[$"/parts/{upload}/{part!["part_number"]}"])];
        return [];
    }

    private JsonObject CreateModel(JsonObject p)
    {
        var name = Needed(p, "name");
        if (Models.Any(model => model.Name == name))
            throw new FakeMlflowException(400, "RESOURCE_ALREADY_EXISTS", $"Registered Model (name={name}) already exists.");
        var added = new FakeModel(name) { Description = Text(p, "description") };
        foreach (var tag in p["tags"]?.AsArray() ?? [])
            added.Tags[Text(tag!.AsObject(), "key")!] = Text(tag!.AsObject(), "value")!;
        Models.Add(added);
        return Model(added);
    }

    private JsonObject CreateVersion(JsonObject p)
    {
        var model = ModelOf(p);
        var version = new FakeVersion(model.Name, $"{model.Versions.Count + 1}", Needed(p, "source"))
        {
            Run = Text(p, "run_id") ?? "",
            Link = Text(p, "run_link") ?? "",
            Model = Text(p, "model_id"),
            Description = Text(p, "description") ?? "",
        };
        foreach (var tag in p["tags"]?.AsArray() ?? [])
            version.Tags[Text(tag!.AsObject(), "key")!] = Text(tag!.AsObject(), "value")!;
        model.Versions.Add(version);
        return new JsonObject { ["model_version"] = version.ToJson(null) };
    }

    private static JsonObject Model(FakeModel model) => new() { ["registered_model"] = model.ToJson() };

    private static JsonObject Then(FakeModel model, Action<FakeModel> change)
    {
        change(model);
        return Model(model);
    }

    private JsonObject Version(FakeVersion version, Action<FakeVersion>? change = null)
    {
        change?.Invoke(version);
        return new JsonObject { ["model_version"] = version.ToJson(Models.Find(model => model.Name == version.Name)) };
    }

    private FakeModel ModelOf(JsonObject p) => Models.Find(model => model.Name == Needed(p, "name")) ?? throw Missing($"Registered Model with name={Text(p, "name")} not found");

    private FakeVersion VersionOf(JsonObject p) => ModelOf(p).Versions.Find(version => version.Number == Needed(p, "version") && !version.IsDeleted)
        ?? throw Missing($"Model Version (name={Text(p, "name")}, version={Text(p, "version")}) not found");

    private IEnumerable<string> Below(FakeRun run)
    {
        var root = $"{run.Experiment}/{run.Id}/artifacts/";
        return Artifacts.Keys.Where(path => path.StartsWith(root, StringComparison.Ordinal)).Select(path => path[root.Length..]);
    }

    private JsonArray List(IEnumerable<string> paths, string folder, bool relative)
    {
        var below = folder.Length == 0 ? "" : folder + "/";
        return new JsonArray([.. paths.Where(path => path.StartsWith(below, StringComparison.Ordinal)).GroupBy(path => path[below.Length..].Split('/')[0]).OrderBy(group => group.Key, StringComparer.Ordinal).Select(group =>
        {
            var (shown, isFolder) = (relative ? group.Key : below + group.Key, group.Any(path => path[below.Length..].Contains('/')));
            var entry = new JsonObject { ["path"] = shown, ["is_dir"] = isFolder };
            if (!isFolder)
                entry["file_size"] = Artifacts.First(file => file.Key.EndsWith(group.First(), StringComparison.Ordinal)).Value.Length;
            return (JsonNode?)entry;
        })]);
    }

    private static JsonObject Paged(JsonObject p, string name, IEnumerable<JsonObject> items)
    {
        var most = p["max_results"] is { } given ? int.Parse(given.ToString(), CultureInfo.InvariantCulture) : 1000;
        if (most < 1)
            throw Invalid($"Invalid value {most} for parameter 'max_results' supplied: It must be at least 1, but got value {most}");
        var offset = Text(p, "page_token") is { Length: > 0 } token ? (int)JsonNode.Parse(Convert.FromBase64String(token))!["offset"]! : 0;
        var all = items.ToList();
        var page = new JsonObject();
        if (all.Count > offset)
            page[name] = new JsonArray([.. all.Skip(offset).Take(most).Select(item => item.DeepClone())]);
        if (all.Count > offset + most)
            page["next_page_token"] = Token(offset + most);
        return page;
    }

    private static string Token(int offset) => Convert.ToBase64String(Encoding.UTF8.GetBytes($$"""{"offset": {{offset}}}"""));

    private static bool Matches(JsonObject p, Func<string, string?> find) => Text(p, "filter") is not { Length: > 0 } filter
        || And().Split(filter).All(part => Condition().Match(part) is { Success: true } match
            ? match.Groups[2].Value.ToUpperInvariant() switch
            {
                "=" => find(match.Groups[1].Value) == match.Groups[3].Value,
                "LIKE" => find(match.Groups[1].Value) is { } text && Regex.IsMatch(text, $"^{Regex.Escape(match.Groups[3].Value).Replace("%", ".*")}$"),
                _ => throw Invalid($"Invalid comparator '{match.Groups[2].Value}'"),
            }
            : throw Invalid($"Invalid clause(s) in filter string: '{part}'"));

    [GeneratedRegex(@"\s+AND\s+", RegexOptions.IgnoreCase)]
    private static partial Regex And();

    [GeneratedRegex(@"^\s*([\w.`""-]+)\s*(=|LIKE)\s*'([^']*)'\s*$", RegexOptions.IgnoreCase)]
    private static partial Regex Condition();
}
