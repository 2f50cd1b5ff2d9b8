using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Npgsql;
using Qbb.Artifacts;
using Qbb.Cli.Registry;
using Qbb.EndToEnd.Tests.Servers;
using Qbb.Registry.Tests.Service;
using Qbb.Tests;
using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;

namespace Qbb.EndToEnd.Tests;

/// <summary>What goes wrong on the way of messages, and to processes, changes nothing about the result. One cluster serves all tests.</summary>
public sealed class DisorderTests(
    RabbitServer broker, PostgresServer database, DirectResult direct, DisorderTests.Undisturbed undisturbed, ITestOutputHelper output)
    : IClassFixture<DisorderTests.Undisturbed>
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(5);

    /// <summary>A cluster and what an upload comes to if nothing goes wrong.</summary>
    public sealed class Undisturbed(RabbitServer broker, PostgresServer database) : IDisposable
    {
        private Cluster? _cluster;
        private FaultProxy? _brokerWay, _databaseWay;

        internal (PipelineView Pipeline, string Manifest) Expected { get; private set; }

        /// <summary>What the pipeline of the first upload published.</summary>
        internal VersionView Champion { get; private set; } = null!;

        /// <summary>How many schedules of all troubles are wanted; null where a few kills do.</summary>
        internal static string? Schedules => Environment.GetEnvironmentVariable("QBB_KILL_SCHEDULES");

        /// <summary>The way past the proxy.</summary>
        internal string Database { get; private set; } = "";

        /// <summary>The ways that can be disturbed.</summary>
        internal FaultProxy[] Ways => [_brokerWay!, _databaseWay!];

        /// <summary>The cluster, which has the results of no unit.</summary>
        internal async Task<Cluster> ClusterAsync()
        {
            broker.Require();
            if (_cluster is null)
            {
                Database = database.MigratedDatabase();
                var direct = new NpgsqlConnectionStringBuilder(Database);
                (_brokerWay, _databaseWay) = (new FaultProxy(broker.Port), new FaultProxy(direct.Port));
                var behind = new NpgsqlConnectionStringBuilder(Database) { Port = _databaseWay.Port };
                var cluster = Schedules is null
                    ? new Cluster(broker, Database, "Pipelines:BackoffSeconds=0.2")
                    : new Cluster(broker, behind.ConnectionString, "Pipelines:BackoffSeconds=0.2", $"Bus:Port={_brokerWay.Port}");
                if (Schedules is not null)
                    cluster.UseSmallDisk();
                await cluster.StartAsync();
                using var registry = new RegistryCalls(cluster.Url);
                await registry.SetPolicyAsync("all", TinyRecipes.Full());
                var pipeline = (await registry.PublishAsync(TinyRecipes.ModelName, TinyRecipes.Model)).Pipelines.Single();
                Expected = await EndAsync(cluster, registry, pipeline);
                Champion = await registry.Api.GetVersionAsync(TinyRecipes.ModelName, "champion");
                _cluster = cluster;
            }
            _cluster.ForgetUnits();
            return _cluster;
        }

        public void Dispose()
        {
            _cluster?.Dispose();
            _brokerWay?.Dispose();
            _databaseWay?.Dispose();
        }
    }

    [Fact]
    public async Task Undisturbed_an_upload_becomes_the_champion_that_the_direct_command_makes()
    {
        var cluster = await undisturbed.ClusterAsync();
        using var registry = new RegistryCalls(cluster.Url);
        using var folder = new TemporaryFolder();
        undisturbed.Champion.Version.ShouldBe(undisturbed.Expected.Pipeline.Result!.Version);
        await Downloading.RunAsync(registry.Api, undisturbed.Champion, folder.File("pulled"), force: false, (_, _, _) => { }, CancellationToken.None);
        SameFolders.Check(direct.Folder, folder.File("pulled"));
    }

    [Fact]
    public async Task Messages_three_times_and_out_of_order_change_nothing()
    {
        var cluster = await undisturbed.ClusterAsync();
        using var registry = new RegistryCalls(cluster.Url);
        var delays = new EchoDelays(seed: 7);
        var bus = await TestBus.EchoAsync(broker, cluster.Prefix, delays);
        var actual = await RunAsync(cluster, registry);
        await delays.SentAsync();
        await bus.StopAsync();
        output.WriteLine($"{delays.Sent} copies sent");
        delays.Sent.ShouldBeGreaterThan(20);
        Same(actual, undisturbed.Expected);
    }

    /// <summary>
    /// As seeds decide, in whatever stage: every pipeline ends as undisturbed. Three schedules only kill, to keep the tests short; QBB_KILL_SCHEDULES says how
    /// many kill, cut and fill disks, after which no unit counts twice and a collection leaves nothing behind.
    /// </summary>
    [Fact]
    public async Task Killing_any_process_at_any_time_changes_nothing()
    {
        var cluster = await undisturbed.ClusterAsync();
        using var registry = new RegistryCalls(cluster.Url);
        var wanted = Undisturbed.Schedules;
        var (schedules, ways) = (int.Parse(wanted ?? "3", CultureInfo.InvariantCulture), wanted is null ? [] : undisturbed.Ways);
        var (all, started) = (new List<string>(), Stopwatch.StartNew());
        for (var seed = 1; seed <= schedules; seed++)
        {
            cluster.ForgetUnits();
            var watch = Stopwatch.StartNew();
            var troubles = new List<string>();
            using var killer = new Killer(seed, cluster, broker, database, ways, troubles.Add);
            var killing = killer.RunAsync();
            var actual = await RunAsync(cluster, registry);
            await killer.StopAsync(killing);
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"schedule {seed}, {watch.Elapsed.TotalSeconds:0.0} s: {string.Join("; ", troubles)}"));
            Same(actual, undisturbed.Expected);
            all.AddRange(troubles);
            if (wanted is not null)
                await CountedOnceAsync(actual.Pipeline);
        }
        if (wanted is null)
            return;
        await NothingIsLeftAsync(registry);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{schedules} schedules in {started.Elapsed.TotalSeconds:0} s, {all.Count} troubles: {string.Join(", ", all
            .GroupBy(trouble => trouble.Split(" in ")[0]).OrderBy(kind => kind.Key).Select(kind => $"{kind.Count()} × {kind.Key}"))}; {string.Join(", ", all
            .GroupBy(trouble => trouble.Split(" in ")[1]).OrderBy(stage => stage.Key).Select(stage => $"{stage.Count()} in {stage.Key}"))}"));
    }

    private async Task CountedOnceAsync(PipelineView pipeline)
    {
        var counted = pipeline.Stages.Where(stage => stage.Name is not (Stage.Distil or Stage.Publish)).Sum(stage => stage.Done);
        (await CountAsync($"units WHERE \"PipelineId\" = '{pipeline.Id}' AND \"Kind\" <> 'Distil'")).ShouldBe(counted);
        (await CountAsync($"units WHERE \"PipelineId\" = '{pipeline.Id}' AND \"Status\" <> 'Done'")).ShouldBe(0);
        (await CountAsync($"lineages WHERE \"PipelineId\" = '{pipeline.Id}'")).ShouldBeLessThanOrEqualTo(1);
    }

    /// <summary>Of blobs only those of versions are left by a collection that spares nothing, and of rows no message and no lease.</summary>
    private async Task NothingIsLeftAsync(RegistryCalls registry)
    {
        await registry.Api.CollectAsync(deletedDays: 0, resultDays: 0, graceMinutes: 0, retryDays: 0);
        var again = await registry.Api.CollectAsync(deletedDays: 0, resultDays: 0, graceMinutes: 0, retryDays: 0);
        (again.Blobs, again.Results).ShouldBe((0, 0));
        var named = new HashSet<string>();
        foreach (var version in (await registry.Api.SearchAsync(new SearchQuery(Limit: 100))).Items)
        {
            var whole = await registry.Api.GetVersionAsync(version.Model, $"{version.Version}");
            named.Add(whole.Manifest);
            named.UnionWith(whole.Files!.Select(file => file.Digest.Value));
        }
        again.Kept.ShouldBeGreaterThanOrEqualTo(named.Count);
        again.Kept.ShouldBeLessThanOrEqualTo(named.Count + 16, "beside them the parts of recipes that versions name");
        (await CountAsync("outbox")).ShouldBe(0);
    }

    private async Task<long> CountAsync(string what)
    {
        // A pool would keep connections that a kill has cut.
        await using var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(undisturbed.Database) { Pooling = false }.ConnectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand($"SELECT count(*) FROM {what}", connection);
        return (long)(await command.ExecuteScalarAsync())!;
    }

    [Fact]
    public async Task What_cannot_be_done_fails_its_pipeline_alone_and_stays_in_the_error_queue()
    {
        var cluster = await undisturbed.ClusterAsync();
        using var registry = new RegistryCalls(cluster.Url);
        var good = await registry.UploadAsync("good", TinyRecipes.Model);
        var store = new LocalArtifactStore(cluster.Store);
        // A model whose weights are gone from the disk after it was uploaded.
        using var copy = new TemporaryFolder();
        foreach (var file in Directory.GetFiles(TinyRecipes.Model))
            File.Copy(file, copy.File(Path.GetFileName(file)));
        var config = JsonNode.Parse(File.ReadAllText(copy.File("config.json")))!;
        config["rms_norm_eps"] = 1e-4;
        File.WriteAllText(copy.File("config.json"), config.ToJsonString());
        var poisoned = await registry.UploadAsync("poisoned", copy.Path);
        await store.DeleteAsync(Digest.Of(File.ReadAllBytes(copy.File("config.json"))));

        // And messages that nobody can read.
        string[] queues = [$"{cluster.Prefix}-quantizer", $"{cluster.Prefix}-registry"];
        var before = await Task.WhenAll(queues.Select(queue => MessagesAsync(queue + "_error")));
        foreach (var queue in queues)
            await SendJunkAsync(queue);

        var bad = await registry.StartAsync("poisoned", poisoned, TinyRecipes.Plain());
        var other = await registry.StartAsync("good", good, TinyRecipes.Plain());
        (await registry.EndAsync(other, s_patience, cluster.Logs)).State.ShouldBe(PipelineState.Succeeded);
        var failed = await registry.EndAsync(bad, s_patience, cluster.Logs);
        failed.State.ShouldBe(PipelineState.Failed);
        failed.Error!.ShouldContain("is not in the store");
        // The junk, and the command after its five tries.
        (await MessagesAsync(queues[0] + "_error")).ShouldBe(before[0] + 1u + 5u);
        (await MessagesAsync(queues[1] + "_error")).ShouldBe(before[1] + 1u);
    }

    [Fact]
    public async Task Two_pipelines_at_once_do_the_work_once()
    {
        var cluster = await undisturbed.ClusterAsync();
        using var registry = new RegistryCalls(cluster.Url);
        var version = await registry.UploadAsync("tiny", TinyRecipes.Model);
        var before = Assembled();
        var pipelines = await Task.WhenAll(Enumerable.Range(0, 2).Select(_ => registry.StartAsync("tiny", version, TinyRecipes.Full())));
        var ended = await Task.WhenAll(pipelines.Select(pipeline => registry.EndAsync(pipeline, s_patience, cluster.Logs)));
        ended.ShouldAllBe(pipeline => pipeline.State == PipelineState.Succeeded);
        ended[0].Result.ShouldBe(ended[1].Result);
        (Assembled() - before).ShouldBe(2, "the data of calibration and of evaluation, each once");

        int Assembled() => cluster["qbb-synthdata"].Log.Split("AssembleData").Length;
    }

    /// <summary>Runs all stages; the pipeline's figures and its artifact.</summary>
    private static async Task<(PipelineView Pipeline, string Manifest)> RunAsync(Cluster cluster, RegistryCalls registry)
    {
        var version = await registry.PatientlyAsync(() => registry.UploadAsync(TinyRecipes.ModelName, TinyRecipes.Model));
        return await EndAsync(cluster, registry, await registry.PatientlyAsync(() => registry.StartAsync(TinyRecipes.ModelName, version, TinyRecipes.Full())));
    }

    private static async Task<(PipelineView Pipeline, string Manifest)> EndAsync(Cluster cluster, RegistryCalls registry, Guid pipeline)
    {
        var ended = await registry.EndAsync(pipeline, s_patience, cluster.Logs);
        ended.State.ShouldBe(PipelineState.Succeeded, $"{ended}\n{cluster.Logs()}");
        var result = await registry.PatientlyAsync(() => registry.Api.GetVersionAsync(TinyRecipes.ModelName, $"{ended.Result!.Version}"));
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
        try
        {
            return (await channel.QueueDeclarePassiveAsync(queue)).MessageCount;
        }
        catch (OperationInterruptedException missing) when (missing.ShutdownReason?.ReplyCode == Constants.NotFound)
        {
            // A queue of errors is there from the first one on.
            return 0;
        }
    }
}
