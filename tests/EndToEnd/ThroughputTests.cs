using System.Diagnostics;
using System.Globalization;
using MassTransit;
using Npgsql;
using Qbb.Artifacts;
using Qbb.EndToEnd.Tests.Servers;
using Qbb.Registry.Tests.Service;

namespace Qbb.EndToEnd.Tests;

/// <summary>
/// Many units of trivial work over RabbitMQ and PostgreSQL: each is counted once, and the log says how fast they went. QBB_UNITS says how many;
/// the usual number is small, to keep the tests short. The registry is a process of its own; this one plays the workers.
/// </summary>
public sealed class ThroughputTests(RabbitServer broker, PostgresServer postgres, ITestOutputHelper output)
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan s_look = TimeSpan.FromSeconds(0.5);

    [Fact]
    public async Task Many_units_are_all_counted_once()
    {
        broker.Require();
        var units = int.Parse(Environment.GetEnvironmentVariable("QBB_UNITS") ?? "400", CultureInfo.InvariantCulture);
        var database = postgres.NewDatabase();
        using var cluster = new Cluster(broker, database);
        await cluster.Start("qbb-registry").ReadyAsync();
        var script = new WorkerScript { Layers = units, SameLayers = true };
        var workers = await TestBus.WorkersAsync(broker, cluster.Prefix, new ScriptedWorker(script, new LocalArtifactStore(cluster.Store)));
        using var registry = new RegistryCalls(cluster.Url);
        var version = await registry.UploadAsync("tiny", TinyRecipes.Model);

        var (before, own) = (cluster.Registry.ProcessorTime, Environment.CpuUsage.TotalTime);
        var pipeline = await registry.StartAsync("tiny", version, TinyRecipes.Plain());
        var progress = await ProgressAsync(registry, pipeline, units);
        var ended = await registry.EndAsync(pipeline, s_patience, cluster.Logs);
        ended.State.ShouldBe(PipelineState.Succeeded, $"{ended}");
        Report(units, progress, cluster.Registry.ProcessorTime - before, Environment.CpuUsage.TotalTime - own, cluster.Registry.PeakMemory);
        await workers.StopAsync();

        script.Commands.OfType<DecomposeLayers>().Select(command => command.Index).ShouldBe(Enumerable.Range(0, units), ignoreOrder: true);
        (await CountAsync(database, "units WHERE \"Kind\" = 'Decompose' AND \"Status\" = 'Done'")).ShouldBe(units);
        (await CountAsync(database, "outbox")).ShouldBe(0);
    }

    /// <summary>Seconds since the start and the layers that are done, until all are.</summary>
    private static async Task<List<(double Seconds, int Done)>> ProgressAsync(RegistryCalls registry, Guid pipeline, int units)
    {
        var watch = Stopwatch.StartNew();
        var seen = new List<(double Seconds, int Done)>();
        do
        {
            await Task.Delay(s_look);
            var state = await registry.Api.GetPipelineAsync(pipeline);
            seen.Add((watch.Elapsed.TotalSeconds, DoneIn(state)));
            watch.Elapsed.ShouldBeLessThan(s_patience, $"{state}");
        }
        while (seen[^1].Done < units);
        return seen;
    }

    // The stage also counts the model that is put together of the layers.
    private static int DoneIn(PipelineView state) => state.Stages.First(stage => stage.Name == Stage.Decompose).Done;

    private void Report(int units, List<(double Seconds, int Done)> progress, TimeSpan registry, TimeSpan workers, long memory)
    {
        var end = progress[^1];
        // Sustained: without the first tenth, in which the registry is still being compiled.
        var begun = progress.First(look => look.Done * 10 >= units);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{units} units in {end.Seconds:0.0} s: {units / end.Seconds:0} units/s, sustained {(end.Done - begun.Done) / (end.Seconds - begun.Seconds):0} units/s; registry {registry.TotalMilliseconds / units:0.00} ms of CPU time a unit and {memory >> 20} MiB at most; workers {workers.TotalMilliseconds / units:0.00} ms; load {File.ReadAllText("/proc/loadavg")[..14]}"));
    }

    private static async Task<long> CountAsync(string database, string what)
    {
        await using var connection = new NpgsqlConnection(database);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand($"SELECT count(*) FROM {what}", connection);
        return (long)(await command.ExecuteScalarAsync())!;
    }
}
