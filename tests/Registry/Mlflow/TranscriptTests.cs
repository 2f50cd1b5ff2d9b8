using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Mlflow;

/// <summary>
/// The requests of the reference transcript of a real 3.6 server, sent again: statuses, error codes and the shape of every answer, field by field and
/// in its order, are the same. It keeps the fake honest, and shows where another server (MLFLOW_TRACKING_URI) differs.
/// </summary>
public sealed partial class TranscriptTests(MlflowServer server) : IClassFixture<MlflowServer>
{
    private const string Reference = "2473615887";
    private const string ReferenceRun = "af9f216df7cb42709071c2afafef6173";

    [Fact]
    public async Task Answers_have_the_shapes_of_a_real_server()
    {
        var entries = Entry().Matches(File.ReadAllText(Qbb.Tests.Reference.Shared("reference", "mlflow", "rest-transcript.txt")))
            .Select(match => (Method: match.Groups[1].Value, Path: match.Groups[2].Value, Body: match.Groups[3].Value, Answer: match.Groups[4].Value.Trim(), Status: match.Groups[5].Value))
            .Where(entry => entry.Path.StartsWith("/api/2.0/", StringComparison.Ordinal) && !entry.Path.StartsWith("/api/2.0/mlflow/webhooks", StringComparison.Ordinal)).ToList();
        entries.Count.ShouldBeGreaterThan(35);
        using var http = new HttpClient { BaseAddress = server.Address };
        var (mark, run, experiment) = ($"{Random.Shared.NextInt64(1_000_000_000, 9_999_999_999)}", "", "");
        foreach (var entry in entries)
        {
            var path = Here(entry.Path.Replace(" (raw body)", "", StringComparison.Ordinal));
            using var request = new HttpRequestMessage(new HttpMethod(entry.Method), path);
            if (entry.Path.EndsWith("(raw body)", StringComparison.Ordinal))
                request.Content = new ByteArrayContent(new byte[3_000_000]);
            else if (path.EndsWith("/runs/create", StringComparison.Ordinal) && entry.Body.Length == 0)
                // The transcript shows no body here.
                request.Content = Json(Here("""{"experiment_id":"1","run_name":"awq-4bit","start_time":1700000000000,"tags":[{"key":"mlflow.user","value":"ci"}]}"""));
            else if (entry.Body.Length > 0)
                request.Content = Json(Here(entry.Body));
            using var answer = await http.SendAsync(request);
            var text = await answer.Content.ReadAsStringAsync();
            var what = $"{entry.Method} {path}: {text}";
            if (entry.Status.Length > 0)
                ((int)answer.StatusCode).ShouldBe(int.Parse(entry.Status, null), what);
            var (expected, actual) = (JsonNode.Parse(entry.Answer)!, JsonNode.Parse(text)!);
            Shape(actual).ShouldBe(Shape(expected), what);
            if ((string?)expected["error_code"] is { } code)
                ((string?)actual["error_code"], Generalised((string?)actual["message"])).ShouldBe((code, Generalised((string?)expected["message"])), what);
            experiment = (string?)actual["experiment_id"] ?? experiment;
            run = (string?)actual["run"]?["info"]?["run_id"] ?? run;
        }

        string Here(string text) => Experiment().Replace(text, match => match.Groups[1].Value + experiment).Replace(Reference, mark, StringComparison.Ordinal)
            .Replace("llama-1436", $"llama-{mark}", StringComparison.Ordinal).Replace(ReferenceRun, run.Length > 0 ? run : ReferenceRun, StringComparison.Ordinal)
            .Replace($"1/{run}", $"{experiment}/{run}", StringComparison.Ordinal);
    }

    /// <summary>Members with the kinds of their values; of a list its first item.</summary>
    private static string Shape(JsonNode? node) => node switch
    {
        JsonObject members => $"{{{string.Join(",", members.Select(member => $"{member.Key}:{Shape(member.Value)}"))}}}",
        JsonArray items => $"[{(items.Count > 0 ? Shape(items[0]) : "")}]",
        null => "null",
        _ => node.GetValueKind().ToString(),
    };

    private static string? Generalised(string? message) => message is null ? null : Digits().Replace(message, "#");

    private static StringContent Json(string text) => new(text, Encoding.UTF8, "application/json");

    // "### METHOD PATH", perhaps "> BODY", the answer, perhaps "< HTTP STATUS".
    [GeneratedRegex(@"^### (GET|POST|PUT|PATCH|DELETE) (\S+(?: \(raw body\))?)\n(?:> (.*)\n)?(\{.*\}|\{\n[\s\S]*?\n\})\n(?:< HTTP (\d+).*)?", RegexOptions.Multiline)]
    private static partial Regex Entry();

    [GeneratedRegex(@"(experiment_ids?(?:=|"":\[?""))1(?=\b)")]
    private static partial Regex Experiment();

    [GeneratedRegex(@"[0-9a-f]{8,}|\d+")]
    private static partial Regex Digits();
}
