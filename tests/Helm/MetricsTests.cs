using System.Diagnostics.Metrics;
using System.Net;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Qbb.Artifacts;
using Qbb.Hosting;
using Qbb.Hosting.Bus;
using Qbb.Registry.Data;
using Qbb.Registry.Messaging;
using Qbb.Registry.Pipelines;
using Qbb.Registry.Pipelines.Machine;
using Qbb.Registry.Pipelines.Stages;
using Qbb.Tests;
using Qbb.Workers;
using Qbb.Workers.Units;
using YamlDotNet.Serialization;

namespace Qbb.Helm.Tests;

/// <summary>Alerts and the dashboard ask for metrics and labels that the services export.</summary>
public sealed partial class MetricsTests : IDisposable
{
    // What Prometheus itself adds, and what the ServiceMonitor takes from the pods.
    private static readonly string[] s_ofTheTarget = ["namespace", "pod", "service", "app_kubernetes_io_component", "app_kubernetes_io_instance"];
    private static readonly string[] s_words = ["by", "without", "unless", "and", "or", "on", "ignoring", "bool"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Every_query_finds_its_metric()
    {
        var exported = await ExportedAsync();
        exported.Keys.ShouldContain("qbb_units_outstanding");
        exported["up"] = [.. s_ofTheTarget];
        var alerts = new DeserializerBuilder().Build().Deserialize<List<Dictionary<string, object>>>(File.ReadAllText(Path.Combine(Chart.Folder, "files", "alerts.yaml")));
        var panels = JsonDocument.Parse(File.ReadAllText(Path.Combine(Chart.Folder, "files", "dashboard.json"))).RootElement.GetProperty("panels").EnumerateArray().ToList();
        List<string> queries =
        [
            .. alerts.Select(alert => (string)alert["expr"]),
            .. panels.SelectMany(panel => panel.GetProperty("targets").EnumerateArray()).Select(target => target.GetProperty("expr").GetString()!),
        ];
        queries.Count.ShouldBeGreaterThan(12);
        queries.SelectMany(query => Problems(query, exported)).ShouldBeEmpty();
        panels.Select(panel => panel.GetProperty("id").GetInt32()).ShouldBeUnique();
        alerts.ShouldAllBe(alert => alert.ContainsKey("annotations") && alert.ContainsKey("labels"));

        // The check itself.
        Problems("rate(qbb_unist_total[5m])", exported).ShouldBe(["qbb_unist_total in rate(qbb_unist_total[5m])"]);
        Problems("sum by (stgae) (qbb_units_total)", exported).ShouldBe(["label stgae in sum by (stgae) (qbb_units_total)"]);
        Problems("qbb_units_total{outcoem=\"a\"}", exported).ShouldBe(["label outcoem in qbb_units_total{outcoem=\"a\"}"]);
    }

    private static IEnumerable<string> Problems(string query, Dictionary<string, HashSet<string>> exported)
    {
        var labels = Matchers().Matches(query).SelectMany(matcher => Names().Matches(Quoted().Replace(matcher.Value, "")))
            .Concat(Groupings().Matches(query).SelectMany(group => Names().Matches(group.Groups[1].Value))).Select(name => name.Value);
        var rest = Durations().Replace(Groupings().Replace(Matchers().Replace(query, ""), ""), "");
        var metrics = Calls().Replace(rest, "(").Split([' ', '(', ')', ',', '+', '-', '*', '/', '<', '>', '='], StringSplitOptions.RemoveEmptyEntries)
            .Where(word => char.IsLetter(word[0]) && !s_words.Contains(word)).ToList();
        metrics.ShouldNotBeEmpty(query);
        var known = metrics.SelectMany(metric => exported.GetValueOrDefault(metric, [])).Concat(s_ofTheTarget).ToHashSet();
        return metrics.Where(metric => !exported.ContainsKey(metric)).Select(metric => $"{metric} in {query}")
            .Concat(metrics.All(exported.ContainsKey) ? labels.Where(label => !known.Contains(label)).Select(label => $"label {label} in {query}") : []);
    }

    /// <summary>The registry's and a worker's metrics, each recorded once, as Prometheus reads them: names with their labels.</summary>
    private async Task<Dictionary<string, HashSet<string>>> ExportedAsync()
    {
        var port = FreePort.Next();
        await using var app = ServiceHost.Build(
            ["--Urls=http://127.0.0.1:0", $"--Telemetry:MetricsPort={port}", $"--Artifacts:Folder={_folder.Path}", "--Logging:LogLevel:Default=Warning"],
            "test", "http://127.0.0.1:0", builder => builder.Services.AddSingleton<PipelineMeter>().AddSingleton<QueueMeter>(), app => app.MapGet("/hello", () => "hello"));
        await ServiceHost.StartAsync(app);
        using var units = new UnitMetrics();
        units.Record("DecomposeLayers", UnitEnd.Done, TimeSpan.FromSeconds(1));
        TokenMetrics.Sampled(1);
        using var device = new DeviceMetrics(Options.Create(new WorkerOptions { Device = "cpu" }));
        device.Export("cuda:0", () => (1, 2), () => 0.5, () => 3);
        await app.Services.GetRequiredService<IArtifactStore>().PutAsync(new MemoryStream([1]));
        app.Services.GetRequiredService<QueueMeter>().Depths = new Dictionary<string, QueueDepth> { ["quantizer"] = new(3, 0, 1) };
        Count(app.Services.GetRequiredService<PipelineMeter>());
        using var http = new HttpClient();
        var service = app.Urls.Single(url => !url.EndsWith($":{port}", StringComparison.Ordinal));
        (await http.GetStringAsync($"{service}/hello")).ShouldBe("hello");
        // What is for people is not at the metrics' port, and the other way round.
        (await http.GetAsync($"http://127.0.0.1:{port}/hello")).StatusCode.ShouldBe(HttpStatusCode.NotFound);
        (await http.GetAsync($"http://127.0.0.1:{port}/health/live")).StatusCode.ShouldBe(HttpStatusCode.NotFound);
        (await http.GetAsync($"{service}/metrics")).StatusCode.ShouldBe(HttpStatusCode.NotFound);
        var text = await http.GetStringAsync($"http://127.0.0.1:{port}/metrics");
        return Samples().Matches(text).GroupBy(sample => sample.Groups[1].Value)
            .ToDictionary(metric => metric.Key, metric => metric.SelectMany(sample => Names().Matches(Quoted().Replace(sample.Groups[2].Value, ""))).Select(label => label.Value).ToHashSet());
    }

    private static void Count(PipelineMeter meter)
    {
        var now = DateTimeOffset.UnixEpoch;
        var before = new Pipeline
        {
            Id = Guid.NewGuid(),
            ModelId = Guid.NewGuid(),
            ModelName = "m",
            SourceId = Guid.NewGuid(),
            Model = "",
            Recipe = "",
            RecipeJson = "{}",
            Route = new(false, false, false),
            Kind = DecomposeStage.Kind,
            CreatedAt = now,
        };
        PipelineUnit Unit(UnitStatus status) => new() { PipelineId = before.Id, Kind = DecomposeStage.Kind, Index = 0, Status = status };
        meter.Count(before, new Decision(before with { Status = PipelineStatus.Failed }, [Unit(UnitStatus.Done), Unit(UnitStatus.Waiting)], []));
        meter.Measure(new Dictionary<UnitKind, int> { [DecomposeStage.Kind] = 3 });
    }

    [GeneratedRegex(@"^([a-z_][a-z0-9_]*)(?:\{(.*)\})? \S+", RegexOptions.Multiline)]
    private static partial Regex Samples();

    [GeneratedRegex("\"[^\"]*\"")]
    private static partial Regex Quoted();

    [GeneratedRegex("[a-zA-Z_][a-zA-Z0-9_]*")]
    private static partial Regex Names();

    [GeneratedRegex(@"\{[^}]*\}")]
    private static partial Regex Matchers();

    [GeneratedRegex(@"(?:by|without|on|ignoring) \(([^)]*)\)")]
    private static partial Regex Groupings();

    [GeneratedRegex(@"\[[^\]]*\]")]
    private static partial Regex Durations();

    [GeneratedRegex(@"[a-z_0-9]+\s*\(")]
    private static partial Regex Calls();
}
