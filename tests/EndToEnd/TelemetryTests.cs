using System.Diagnostics;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Builder;
using Qbb.EndToEnd.Tests.Servers;
using Qbb.Evaluator;
using Qbb.Hosting;
using Qbb.Quantizer;
using Qbb.Registry;
using Qbb.Registry.Tests.Service;
using Qbb.Synthdata;
using Qbb.Tests;

namespace Qbb.EndToEnd.Tests;

/// <summary>What operators see of a pipeline: one trace from the upload to the new version, metrics, and logs.</summary>
public sealed partial class TelemetryTests(RabbitServer broker) : IDisposable
{
    private static readonly string[] s_metrics =
    [
        "qbb_units_total", "qbb_units_outstanding", "qbb_unit_duration_seconds", "qbb_tokens_total", "qbb_queue_messages", "qbb_queue_consumers",
        "qbb_queue_errors", "qbb_outbox_refused", "qbb_pipelines_ended_total", "qbb_versions_size_bytes", "qbb_artifacts_stored_bytes_total",
    ];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_pipeline_is_one_trace_and_fills_every_metric()
    {
        broker.Require();
        await using var collector = await Collector.StartAsync();
        var port = FreePort.Next();
        Guid pipeline;
        ActivityTraceId trace;
        await using (var app = await StartAsync(collector.Url, port))
        {
            using var registry = new RegistryCalls(app.Urls.Single(url => !url.EndsWith($":{port}", StringComparison.Ordinal)));
            await registry.SetPolicyAsync("full", TinyRecipes.Full());
            using (var push = new Activity("push") { ActivityTraceFlags = ActivityTraceFlags.Recorded }.Start())
            {
                trace = push.TraceId;
                pipeline = (await registry.PublishAsync("tiny", TinyRecipes.Model)).Pipelines.Single();
            }
            var end = await registry.EndAsync(pipeline, TimeSpan.FromMinutes(2));
            end.State.ShouldBe(PipelineState.Succeeded, end.Error);
            using var http = new HttpClient();
            // Gauges of the registry are looked at every 10 seconds.
            var text = "";
            await UntilAsync(async () => VersionBytes().IsMatch(text = await http.GetStringAsync($"http://127.0.0.1:{port}/metrics"))
                && text.Contains("\nqbb_pipelines_ended_total{", StringComparison.Ordinal), () => text);
            s_metrics.Where(metric => !text.Contains($"\n{metric}", StringComparison.Ordinal)).ShouldBeEmpty(text);
            foreach (var stage in new[] { "sample", "decompose", "score", "distil", "evaluate" })
                text.ShouldMatch($"qbb_units_total{{[^}}]*outcome=\"done\"[^}}]*stage=\"{stage}\"|qbb_units_total{{[^}}]*stage=\"{stage}\"[^}}]*outcome=\"done\"");
            foreach (var stage in new[] { "sample", "score", "distil", "evaluate" })
                text.ShouldMatch($"qbb_tokens_total{{[^}}]*stage=\"{stage}\"[^}}]*}} [1-9]");
            await app.StopAsync();
        }

        var spans = collector.Spans.Where(span => span.Trace == trace.ToHexString()).ToList();
        var ids = spans.Select(span => span.Id).ToHashSet();
        foreach (var name in new[] { "pipeline start", "pipeline advance", "outbox send", "pipeline publish" })
            spans.ShouldContain(span => span.Name == name, string.Join(", ", spans.Select(span => span.Name).Distinct()));
        foreach (var queue in WorkQueues.All)
            spans.ShouldContain(span => span.Name.Contains(queue, StringComparison.Ordinal), string.Join(", ", spans.Select(span => span.Name).Distinct()));
        // Whatever the product itself does for a pipeline is in its trace, and hangs together: only the requests' parent is elsewhere, in the client.
        collector.Spans.Where(span => span.Name.StartsWith("pipeline", StringComparison.Ordinal)).ShouldAllBe(span => span.Trace == trace.ToHexString());
        var requests = spans.Where(span => !ids.Contains(span.Parent)).ToList();
        requests.ShouldAllBe(span => span.Name.Contains(" /api/", StringComparison.Ordinal) || span.Name.EndsWith("HttpRequestIn", StringComparison.Ordinal));
        // Of the upload: every file is looked for, and those that are missing are put, before the version is made.
        requests.Count.ShouldBeGreaterThan(3);
        foreach (var metric in s_metrics)
            collector.Metrics.Keys.ShouldContain(known => metric.StartsWith(known.Metric.Replace('.', '_'), StringComparison.Ordinal), metric);
        collector.Logs.ShouldContain(log => log.Trace == trace.ToHexString() && log.Text == $"Pipeline {pipeline} of tiny is succeeded");
        collector.Logs.ShouldContain(log => log.Trace == trace.ToHexString() && log.Text.StartsWith("DecomposeLayers ", StringComparison.Ordinal) && log.Text.Contains($" of pipeline {pipeline} took ", StringComparison.Ordinal));
    }

    private async Task<WebApplication> StartAsync(string endpoint, int port)
    {
        string[] settings =
        [
            "Urls=http://127.0.0.1:0", "Bus:Transport=RabbitMq", "Bus:Host=127.0.0.1", $"Bus:Port={broker.Port}", $"Bus:Prefix=t{Guid.NewGuid():n}",
            $"Artifacts:Folder={_folder.File("artifacts")}", $"Database:ConnectionString=Data Source={_folder.File("registry.db")}", $"Worker:Folder={_folder.File("work")}",
            "Worker:Device=cpu", "Worker:Threads=1", $"Telemetry:Endpoint={endpoint}", $"Telemetry:MetricsPort={port}", "Logging:Console:LogLevel:Default=None",
        ];
        var app = ServiceHost.Build([.. settings.Select(setting => "--" + setting)], "test", "http://127.0.0.1:0", builder =>
        {
            builder.AddRegistry();
            builder.AddSynthdata();
            builder.AddQuantizer();
            builder.AddEvaluator();
        }, app => app.MapRegistry());
        await ServiceHost.StartAsync(app);
        return app;
    }

    private static async Task UntilAsync(Func<Task<bool>> condition, Func<string> state)
    {
        var watch = Stopwatch.StartNew();
        while (!await condition())
        {
            watch.Elapsed.ShouldBeLessThan(TimeSpan.FromMinutes(1), state());
            await Task.Delay(200);
        }
    }

    [GeneratedRegex(@"^qbb_versions_size_bytes\S* [1-9]", RegexOptions.Multiline)]
    private static partial Regex VersionBytes();
}
