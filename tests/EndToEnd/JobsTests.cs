using System.Diagnostics;
using Microsoft.AspNetCore.Builder;
using Qbb.Dispatcher;
using Qbb.Dispatcher.Tests;
using Qbb.EndToEnd.Tests.Servers;
using Qbb.Hosting;
using Qbb.Registry.Tests.Service;
using Qbb.Tests;
using Qbb.Workers.Units;

namespace Qbb.EndToEnd.Tests;

/// <summary>No worker stands: two dispatchers write Jobs to a Kubernetes API of the test's own, which runs the pods.</summary>
public sealed class JobsTests(RabbitServer broker, PostgresServer database) : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(4);
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task An_upload_becomes_a_champion_over_a_killed_pod_and_a_cancelled_pipeline_leaves_no_job()
    {
        broker.Require();
        using var cluster = new Cluster(broker, database.MigratedDatabase(), "Pipelines:BackoffSeconds=0.2");
        await cluster.HostAsync("qbb-registry");
        foreach (var queue in WorkQueues.All)
            _folder.Write($"{queue}.yaml", Template(queue, cluster));
        await using var kubernetes = await FakeKubernetes.StartAsync();
        await using var kubelet = new Kubelet(kubernetes, stage: "decompose");
        await using var first = await DispatchAsync(cluster, kubernetes);
        await using var second = await DispatchAsync(cluster, kubernetes);
        using var registry = new RegistryCalls(cluster.Url);

        var version = await registry.UploadAsync("tiny", TinyRecipes.Model);
        var pipeline = await registry.StartAsync("tiny", version, TinyRecipes.Full());
        await kubelet.KillAsync("DecomposeLayers");
        var end = await registry.EndAsync(pipeline, s_patience, () => cluster.Logs() + kubelet.Logs);
        end.State.ShouldBe(PipelineState.Succeeded, end.Error);
        (await registry.Api.GetVersionAsync("tiny", "champion")).Version.ShouldBe(end.Result!.Version);
        // One pod was killed, all others found their queues empty, unless the pipeline ended first; and never were there two Jobs of one stage.
        await UntilAsync(() => kubernetes.All.IsEmpty && kubelet.Running == 0);
        kubelet.Ended.Where(pod => pod.Code != 0 && !pod.JobDeleted).Select(pod => pod.Stage).ShouldBe(["decompose"]);
        // The first stage of each queue: a later one's units may be done by a pod that idles, before there is a Job for them.
        string[] certain = ["sample", "decompose", "evaluate"];
        certain.ShouldBeSubsetOf(kubelet.Ended.Select(pod => pod.Stage));

        // Sequences enough for minutes.
        var other = await registry.StartAsync("tiny", version, PipelineRecipe.Parse(TinyRecipes.Full(seed: 5).ToJson().Replace("\"sequences\":64", "\"sequences\":100000", StringComparison.Ordinal)));
        await UntilAsync(() => kubernetes.All.Values.Any(job => job.Metadata.Labels["qbb/stage"] == "sample"));
        await registry.Api.CancelPipelineAsync(other);
        await UntilAsync(() => kubernetes.All.IsEmpty && kubelet.Running == 0);
    }

    [Fact]
    public async Task A_lost_node_is_retried_and_a_wrong_input_is_not()
    {
        broker.Require();
        await using var collector = await Collector.StartAsync();
        using var cluster = new Cluster(broker, database.MigratedDatabase(), $"Telemetry:Endpoint={collector.Url}");
        await cluster.HostAsync("qbb-registry");
        // One failure that counts would fail the Job.
        foreach (var queue in WorkQueues.All)
            _folder.Write($"{queue}.yaml", Template(queue, cluster, pods: 1, retries: 0));
        await using var kubernetes = await FakeKubernetes.StartAsync();
        using var registry = new RegistryCalls(cluster.Url);
        Guid broken;
        string trace;
        await using (var dispatcher = await DispatchAsync(cluster, kubernetes))
        {
            var lossy = new Kubelet(kubernetes);
            await using (lossy)
            {
                var version = await registry.UploadAsync("tiny", TinyRecipes.Model);
                using var request = new Activity("start") { ActivityTraceFlags = ActivityTraceFlags.Recorded }.Start();
                trace = request.TraceId.ToHexString();
                var pipeline = await registry.StartAsync("tiny", version, TinyRecipes.Plain());
                request.Stop();
                await lossy.LoseNodeAsync("decompose", "Taking units");
                var end = await registry.EndAsync(pipeline, s_patience, () => cluster.Logs() + lossy.Logs);
                end.State.ShouldBe(PipelineState.Succeeded, end.Error);
                await UntilAsync(() => kubernetes.All.IsEmpty && lossy.Running == 0);
            }
            // One pod was lost, and there was another after it.
            lossy.Ended.Where(pod => pod.Code != 0 && !pod.JobDeleted).Select(pod => pod.Stage).ShouldBe(["decompose"]);
            lossy.Ended.Count(pod => pod.Stage == "decompose").ShouldBeGreaterThan(1);
            // Pods continue the request's trace, and send at their end what they have: none lives as long as metrics wait otherwise.
            foreach (var queue in WorkQueues.All)
            {
                collector.Spans.ShouldContain(span => span.Service == "qbb-" + queue && span.Trace == trace && span.Name.Contains(queue, StringComparison.Ordinal), queue);
                collector.Metrics.Keys.ShouldContain(("qbb-" + queue, "qbb.unit.duration"));
            }

            // A file that ends too early. Its pod begins when the dispatcher is gone, so that it ends by itself and not with its Job.
            broken = await StartBrokenAsync(registry);
            await UntilAsync(() => !kubernetes.All.IsEmpty);
            await dispatcher.StopAsync();
        }
        var created = Created(kubernetes);
        await using var kubelet = new Kubelet(kubernetes);
        await UntilAsync(() => kubernetes.All.Values.Single().Status?.Conditions is [{ Type: "Failed" }]);
        kubelet.Ended.ShouldBe([("decompose", WorkerExit.Input, false)]);
        var failed = await registry.EndAsync(broken, s_patience);
        failed.State.ShouldBe(PipelineState.Failed);
        failed.Error!.ShouldContain("model.safetensors");
        // The next dispatcher finds the Job of a pipeline that has ended, and makes none.
        await using var next = await DispatchAsync(cluster, kubernetes);
        await UntilAsync(() => kubernetes.All.IsEmpty);
        kubelet.Ended.Count.ShouldBe(1);
        Created(kubernetes).ShouldBe(created);

        static int Created(FakeKubernetes kubernetes) => kubernetes.Requests.Count(request => request.StartsWith("POST", StringComparison.Ordinal));
    }

    private static async Task<Guid> StartBrokenAsync(RegistryCalls registry)
    {
        var files = Directory.GetFiles(TinyRecipes.Model).ToDictionary(file => Path.GetFileName(file), File.ReadAllBytes);
        files["model.safetensors"] = files["model.safetensors"][..^100];
        foreach (var bytes in files.Values)
            await registry.Api.PutBlobAsync(Digest.Of(bytes), new ByteArrayContent(bytes));
        var uploaded = await registry.Api.CreateVersionAsync("broken", new VersionRequest([.. files.Select(file => new FileEntry(file.Key, Digest.Of(file.Value), file.Value.Length))], Quantize: false));
        return await registry.StartAsync("broken", uploaded.Version, TinyRecipes.Plain());
    }

    private async Task<WebApplication> DispatchAsync(Cluster cluster, FakeKubernetes kubernetes)
    {
        const string anywhere = "http://127.0.0.1:0";
        var app = ServiceHost.Build(
            [
                $"--Urls={anywhere}", $"--Dispatcher:Registry={cluster.Url}", $"--Dispatcher:Templates={_folder.Path}", "--Dispatcher:Namespace=models",
                $"--Dispatcher:ApiServer={kubernetes.Url}", "--Dispatcher:PollSeconds=0.2", "--Logging:LogLevel:Default=None",
            ],
            "dispatcher", anywhere, builder => builder.AddDispatcher(), hasBus: false);
        await ServiceHost.StartAsync(app);
        return app;
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        while (!condition())
            await Task.Delay(50, patience.Token);
    }

    private static string Template(string queue, Cluster cluster, int pods = 2, int retries = 3) => $$"""
        apiVersion: batch/v1
        kind: Job
        metadata: {}
        spec:
          parallelism: {{(queue == WorkQueues.Quantizer ? pods : 1)}}
          backoffLimit: {{retries}}
          podFailurePolicy:
            rules:
              - { action: FailJob, onExitCodes: { containerName: worker, operator: In, values: [10] } }
              - { action: Ignore, onPodConditions: [{ type: DisruptionTarget, status: "True" }] }
              - { action: Count, onExitCodes: { containerName: worker, operator: In, values: [20] } }
          template:
            spec:
              restartPolicy: Never
              containers:
                - name: worker
                  image: qbb-{{queue}}:1
                  args: [--until-idle, 1s]
                  env:
        {{string.Join("\n", cluster.SettingsOf("qbb-" + queue).Select(setting => $"            - {{ name: {setting.Split('=', 2)[0].Replace(":", "__", StringComparison.Ordinal)}, value: '{setting.Split('=', 2)[1]}' }}"))}}
        """;
}
