using Microsoft.AspNetCore.Builder;
using Qbb.Dispatcher;
using Qbb.Dispatcher.Tests;
using Qbb.EndToEnd.Tests.Servers;
using Qbb.Hosting;
using Qbb.Registry.Tests.Service;
using Qbb.Tests;

namespace Qbb.EndToEnd.Tests;

/// <summary>No worker stands: two dispatchers write Jobs to a Kubernetes API of the test's own, whose pods are processes.</summary>
public sealed class JobsTests(RabbitServer broker, PostgresServer database) : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(4);
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task An_upload_becomes_a_champion_over_a_killed_pod_and_a_cancelled_pipeline_leaves_no_job()
    {
        RabbitServer.Require();
        using var cluster = new Cluster(broker, database.NewDatabase(), "Pipelines:BackoffSeconds=0.2");
        await cluster.StartAsync("qbb-registry");
        foreach (var queue in WorkQueues.All)
            _folder.Write($"{queue}.yaml", Template(queue, cluster));
        await using var kubernetes = await FakeKubernetes.StartAsync();
        await using var kubelet = new Kubelet(kubernetes);
        await using var first = await DispatchAsync(cluster, kubernetes);
        await using var second = await DispatchAsync(cluster, kubernetes);
        using var registry = new RegistryCalls(cluster.Url);

        var version = await registry.UploadAsync("tiny", TinyRecipes.Model);
        var pipeline = await registry.StartAsync("tiny", version, TinyRecipes.Full());
        await kubelet.KillAsync("decompose", "DecomposeLayers");
        var end = await registry.EndAsync(pipeline, s_patience, () => cluster.Logs() + kubelet.Logs);
        end.State.ShouldBe(PipelineState.Succeeded, end.Error);
        (await registry.Api.GetVersionAsync("tiny", "champion")).Version.ShouldBe(end.Result!.Version);
        // One pod was killed, all others found their queues empty; and never were there two Jobs of one stage.
        await UntilAsync(() => kubernetes.All.IsEmpty && kubelet.Running == 0);
        kubelet.Ended.Where(pod => pod.Code != 0).Select(pod => pod.Stage).ShouldBe(["decompose"]);
        kubelet.Ended.Select(pod => pod.Stage).Distinct().ShouldBe(["sample", "gather-data", "decompose", "assemble-model", "score", "filter", "distil", "sample-windows", "gather-windows", "evaluate"], ignoreOrder: true);

        var other = await registry.StartAsync("tiny", version, PipelineRecipe.Parse(TinyRecipes.Full(seed: 5).ToJson().Replace("\"steps\":40", "\"steps\":100000", StringComparison.Ordinal)));
        await UntilAsync(() => kubernetes.All.Values.Any(job => job.Metadata.Labels["qbb/stage"] == "distil"));
        await registry.Api.CancelPipelineAsync(other);
        await UntilAsync(() => kubernetes.All.IsEmpty && kubelet.Running == 0);
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

    private static string Template(string queue, Cluster cluster) => $$"""
        apiVersion: batch/v1
        kind: Job
        metadata: {}
        spec:
          parallelism: 2
          backoffLimit: 3
          podFailurePolicy:
            rules:
              - { action: FailJob, onExitCodes: { containerName: worker, operator: In, values: [10] } }
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
