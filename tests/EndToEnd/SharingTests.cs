using System.Diagnostics;
using System.Globalization;
using System.Net;
using Npgsql;
using Qbb.Artifacts;
using Qbb.EndToEnd.Tests.Servers;
using Qbb.Registry.Tests.Service;

namespace Qbb.EndToEnd.Tests;

/// <summary>Quantizers that share the layers of one model, over a real RabbitMQ and a real PostgreSQL.</summary>
public sealed class SharingTests(RabbitServer broker, PostgresServer database, ITestOutputHelper output)
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(4);

    // So much more than the work itself takes that the processors of this machine do not count.
    private const double Cost = 0.3;

    /// <summary>QBB_UNIT_COST says what a unit costs beside its work, seconds; the usual cost, of one none, keeps the tests short.</summary>
    [Fact]
    public async Task Three_work_at_once_and_make_what_one_makes()
    {
        broker.Require();
        using var cluster = new Cluster(broker, database.MigratedDatabase());
        await cluster.HostAsync("qbb-registry", "qbb-synthdata", "qbb-evaluator");
        using var registry = new RegistryCalls(cluster.Url);
        var version = await registry.UploadAsync("teacher", TinyRecipes.SampleTeacher);

        var wanted = Environment.GetEnvironmentVariable("QBB_UNIT_COST") is { } set ? double.Parse(set, CultureInfo.InvariantCulture) : (double?)null;
        var one = await RunAsync(cluster, registry, version, quantizers: 1, wanted ?? 0);
        cluster.ForgetUnits();
        var three = await RunAsync(cluster, registry, version, quantizers: 3, wanted ?? Cost);

        if (wanted is not null)
            output.WriteLine($"one {one.Seconds:0.0} s, three {three.Seconds:0.0} s: {three.Seconds / one.Seconds:0.000}");
        one.Units.ShouldBe([TinyRecipes.SampleTeacherLayers]);
        three.Units.Sum().ShouldBe(TinyRecipes.SampleTeacherLayers, "each unit was done once");
        three.Units.ShouldAllBe(units => units > TinyRecipes.SampleTeacherLayers / 4);
        three.Manifest.ShouldBe(one.Manifest);
        one.AtOnce.ShouldBe(1);
        three.AtOnce.ShouldBe(3);
    }

    [Fact]
    public async Task One_whose_disk_is_full_leaves_the_units_to_the_other_and_uses_up_no_attempts()
    {
        broker.Require();
        var data = database.MigratedDatabase();
        using var cluster = new Cluster(broker, data, "Pipelines:Attempts=1", "Pipelines:BackoffSeconds=0.2");
        await cluster.HostAsync("qbb-registry", "qbb-synthdata", "qbb-evaluator");
        using var registry = new RegistryCalls(cluster.Url);
        var version = await registry.UploadAsync("tiny", TinyRecipes.Model);
        await using var full = await SlowQuantizer.StartAsync(
            cluster.SettingsOf("qbb-quantizer"), TimeSpan.Zero, () => new StoreFullException("the disk of the artifacts is full"));
        var pipelines = await Task.WhenAll(Enumerable.Range(1, 4).Select(bases => registry.StartAsync("tiny", version, TinyRecipes.Plain(bases))));
        await WaitAsync(async () => (await full.ReadinessAsync()).Status == HttpStatusCode.ServiceUnavailable);
        (await full.ReadinessAsync()).Reasons.ShouldContain("machine: the disk of the artifacts is full");

        await using var well = await SlowQuantizer.StartAsync(cluster.SettingsOf("qbb-quantizer"), TimeSpan.Zero);
        foreach (var pipeline in pipelines)
            (await registry.EndAsync(pipeline, s_patience, cluster.Logs)).State.ShouldBe(PipelineState.Succeeded);
        well.Spans.Count.ShouldBeGreaterThanOrEqualTo(4);
        full.Spans.ShouldBeEmpty();
        (await well.ReadinessAsync()).Status.ShouldBe(HttpStatusCode.OK);
        await using var connection = new NpgsqlConnection(data);
        await connection.OpenAsync();
        await using var counted = new NpgsqlCommand("SELECT count(*) FROM units WHERE \"Failures\" > 0", connection);
        (await counted.ExecuteScalarAsync()).ShouldBe(0L);
    }

    [Fact]
    public async Task Two_systems_on_one_broker_keep_to_themselves()
    {
        broker.Require();
        using var one = new Cluster(broker, database.MigratedDatabase());
        using var other = new Cluster(broker, database.MigratedDatabase());
        await Task.WhenAll(one.HostAsync("qbb-registry"), other.HostAsync("qbb-registry"));
        var layers = await Task.WhenAll(DecomposedAsync(one, 3), DecomposedAsync(other, 5));
        layers.ShouldBe([3, 5]);
    }

    private static async Task WaitAsync(Func<Task<bool>> condition)
    {
        var watch = Stopwatch.StartNew();
        while (!await condition())
        {
            watch.Elapsed.ShouldBeLessThan(s_patience);
            await Task.Delay(50);
        }
    }

    /// <summary>Quantizes a model with scripted workers; the layers that these were asked for.</summary>
    private async Task<int> DecomposedAsync(Cluster cluster, int layers)
    {
        var script = new WorkerScript { Layers = layers };
        var workers = await TestBus.WorkersAsync(broker, cluster.Prefix, new ScriptedWorker(script, new LocalArtifactStore(cluster.Store)));
        using var registry = new RegistryCalls(cluster.Url);
        var version = await registry.UploadAsync("tiny", TinyRecipes.Model);
        var ended = await registry.EndAsync(await registry.StartAsync("tiny", version, TinyRecipes.Plain()), s_patience, cluster.Logs);
        ended.State.ShouldBe(PipelineState.Succeeded, $"{ended}");
        await workers.StopAsync();
        return script.Count<DecomposeLayers>();
    }

    /// <summary>Wall time from the first layer's start to the last one's end, most layers in work at one time, the units of every quantizer, and the artifact.</summary>
    private static async Task<(double Seconds, int AtOnce, int[] Units, string Manifest)> RunAsync(
        Cluster cluster, RegistryCalls registry, int version, int quantizers, double cost)
    {
        var workers = new List<SlowQuantizer>();
        try
        {
            for (var number = 1; number <= quantizers; number++)
                workers.Add(await SlowQuantizer.StartAsync(cluster.SettingsOf("qbb-quantizer"), TimeSpan.FromSeconds(cost)));
            var ended = await registry.EndAsync(await registry.StartAsync("teacher", version, TinyRecipes.Coarse()), s_patience, cluster.Logs);
            ended.State.ShouldBe(PipelineState.Succeeded, $"{ended}");
            var result = await registry.Api.GetVersionAsync("teacher", $"{ended.Result!.Version}");
            var spans = workers.SelectMany(worker => worker.Spans).ToList();
            return ((spans.Max(span => span.End) - spans.Min(span => span.Start)).TotalSeconds,
                spans.Max(one => spans.Count(other => other.Start <= one.Start && one.Start < other.End)),
                [.. workers.Select(worker => worker.Spans.Count)], result.Manifest);
        }
        finally
        {
            foreach (var worker in workers)
                await worker.DisposeAsync();
        }
    }
}
