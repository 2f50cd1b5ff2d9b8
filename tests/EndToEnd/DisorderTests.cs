using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Qbb.Artifacts;
using Qbb.EndToEnd.Tests.Servers;
using Qbb.Registry.Tests.Service;
using RabbitMQ.Client;

namespace Qbb.EndToEnd.Tests;

/// <summary>What goes wrong on the way of messages, and to processes, changes nothing about the result.</summary>
public sealed class DisorderTests(RabbitServer broker, PostgresServer database, ITestOutputHelper output)
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(5);

    [Fact]
    public async Task Messages_three_times_and_out_of_order_change_nothing()
    {
        using var cluster = await NewClusterAsync();
        using var registry = new RegistryCalls(cluster.Url);
        var expected = await RunAsync(cluster, registry);
        cluster.ForgetUnits();
        var delays = new EchoDelays(seed: 7);
        var bus = await TestBus.EchoAsync(broker, cluster.Prefix, delays);
        var actual = await RunAsync(cluster, registry);
        await bus.StopAsync();
        output.WriteLine($"{delays.Sent} copies sent");
        delays.Sent.ShouldBeGreaterThan(20);
        Same(actual, expected);
    }

    /// <summary>QBB_KILL_SCHEDULES says how many schedules; the usual number is small, to keep the tests short.</summary>
    [Fact]
    public async Task Killing_any_process_at_any_time_changes_nothing()
    {
        using var cluster = await NewClusterAsync("Pipelines:BackoffSeconds=0.2");
        using var registry = new RegistryCalls(cluster.Url);
        var expected = await RunAsync(cluster, registry);
        var schedules = int.Parse(Environment.GetEnvironmentVariable("QBB_KILL_SCHEDULES") ?? "3", CultureInfo.InvariantCulture);
        for (var seed = 1; seed <= schedules; seed++)
        {
            cluster.ForgetUnits();
            var watch = Stopwatch.StartNew();
            var kills = new List<string>();
            using var killer = new Killer(seed, cluster, broker, database, kills.Add);
            var killing = killer.RunAsync();
            var actual = await RunAsync(cluster, registry);
            await killer.StopAsync(killing);
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"schedule {seed}, {watch.Elapsed.TotalSeconds:0.0} s: killed {string.Join("; ", kills)}"));
            Same(actual, expected);
        }
    }

    [Fact]
    public async Task What_cannot_be_done_fails_its_pipeline_alone_and_stays_in_the_error_queue()
    {
        using var cluster = await NewClusterAsync("Pipelines:Attempts=2", "Pipelines:BackoffSeconds=1");
        using var registry = new RegistryCalls(cluster.Url);
        var good = await registry.UploadAsync("good", TinyRecipes.Model);
        var store = new LocalArtifactStore(cluster.Store);
        // A model whose weights are gone from the disk after it was uploaded.
        using var copy = new Qbb.Tests.TemporaryFolder();
        foreach (var file in Directory.GetFiles(TinyRecipes.Model))
            File.Copy(file, copy.File(Path.GetFileName(file)));
        var config = JsonNode.Parse(File.ReadAllText(copy.File("config.json")))!;
        config["rms_norm_eps"] = 1e-4;
        File.WriteAllText(copy.File("config.json"), config.ToJsonString());
        var poisoned = await registry.UploadAsync("poisoned", copy.Path);
        await store.DeleteAsync(Digest.Of(File.ReadAllBytes(copy.File("config.json"))));

        // And messages that nobody can read.
        string[] queues = [$"{cluster.Prefix}-quantizer", $"{cluster.Prefix}-registry"];
        foreach (var queue in queues)
            await SendJunkAsync(queue);

        var bad = await registry.StartAsync("poisoned", poisoned, TinyRecipes.Plain());
        var other = await registry.StartAsync("good", good, TinyRecipes.Plain());
        (await registry.EndAsync(other, s_patience, cluster.Logs)).State.ShouldBe(PipelineState.Succeeded);
        var failed = await registry.EndAsync(bad, s_patience, cluster.Logs);
        failed.State.ShouldBe(PipelineState.Failed);
        failed.Error!.ShouldContain("is not in the store");
        // The junk, and the command after its tries.
        (await MessagesAsync(queues[0] + "_error")).ShouldBe(1u + 2u);
        (await MessagesAsync(queues[1] + "_error")).ShouldBe(1u);
    }

    [Fact]
    public async Task Two_pipelines_at_once_do_the_work_once()
    {
        using var cluster = await NewClusterAsync();
        using var registry = new RegistryCalls(cluster.Url);
        var version = await registry.UploadAsync("tiny", TinyRecipes.Model);
        var pipelines = await Task.WhenAll(Enumerable.Range(0, 2).Select(_ => registry.StartAsync("tiny", version, TinyRecipes.Full())));
        var ended = await Task.WhenAll(pipelines.Select(pipeline => registry.EndAsync(pipeline, s_patience, cluster.Logs)));
        ended.ShouldAllBe(pipeline => pipeline.State == PipelineState.Succeeded);
        ended[0].Result.ShouldBe(ended[1].Result);
        cluster["qbb-synthdata"].Log.Split("AssembleData").Length.ShouldBe(3, "the data of calibration and of evaluation, each once");
    }

    private async Task<Cluster> NewClusterAsync(params string[] more)
    {
        RabbitServer.Require();
        var cluster = new Cluster(broker, database.NewDatabase(), more);
        await cluster.StartAsync();
        return cluster;
    }

    /// <summary>Runs all stages; the pipeline's figures and its artifact.</summary>
    private static async Task<(PipelineView Pipeline, string Manifest)> RunAsync(Cluster cluster, RegistryCalls registry)
    {
        var version = await registry.PatientlyAsync(() => registry.UploadAsync("tiny", TinyRecipes.Model));
        var pipeline = await registry.PatientlyAsync(() => registry.StartAsync("tiny", version, TinyRecipes.Full()));
        var ended = await registry.EndAsync(pipeline, s_patience, cluster.Logs);
        ended.State.ShouldBe(PipelineState.Succeeded, $"{ended}\n{cluster.Logs()}");
        var result = await registry.PatientlyAsync(() => registry.Api.GetVersionAsync("tiny", $"{ended.Result!.Version}"));
        return (ended, result.Manifest);
    }

    private static void Same((PipelineView Pipeline, string Manifest) actual, (PipelineView Pipeline, string Manifest) expected)
    {
        actual.Manifest.ShouldBe(expected.Manifest);
        actual.Pipeline.Metrics.ShouldBe(expected.Pipeline.Metrics);
    }

    private async Task SendJunkAsync(string queue)
    {
        await using var connection = await ConnectAsync();
        await using var channel = await connection.CreateChannelAsync();
        await channel.BasicPublishAsync("", queue, "{ \"message\": "u8.ToArray());
    }

    private Task<IConnection> ConnectAsync() => new ConnectionFactory { HostName = "127.0.0.1", Port = broker.Port }.CreateConnectionAsync();

    private async Task<uint> MessagesAsync(string queue)
    {
        await using var connection = await ConnectAsync();
        await using var channel = await connection.CreateChannelAsync();
        return (await channel.QueueDeclarePassiveAsync(queue)).MessageCount;
    }
}
