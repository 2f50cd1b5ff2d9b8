using System.Diagnostics;
using Qbb.EndToEnd.Tests.Servers;
using Qbb.Registry.Tests.Service;
using Qbb.Tests;
using Qbb.Tests.S3;
using Qbb.Workers.Units;

namespace Qbb.EndToEnd.Tests;

/// <summary>
/// Broker, database and store go wrong twice in a pipeline, while layers are decomposed and when the result is about to be published; disks fill up and
/// workers are lost. It ends with the same artifact as undisturbed, and no attempt is counted.
/// </summary>
public sealed class FaultTests(RabbitServer broker, PostgresServer database, S3Server s3, FaultTests.Shared shared, ITestOutputHelper output)
    : IClassFixture<S3Server>, IClassFixture<FaultTests.Shared>
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(70);

    /// <summary>The cluster of all tests.</summary>
    public sealed class Shared : IAsyncDisposable
    {
        internal FaultCluster? Cluster { get; set; }

        internal int Seed { get; set; }

        public ValueTask DisposeAsync() => Cluster?.DisposeAsync() ?? ValueTask.CompletedTask;
    }

    /// <param name="place">To which the way is disturbed.</param>
    /// <param name="outage">How.</param>
    /// <param name="seconds">By the services' clock.</param>
    [Theory]
    [InlineData(Place.Database, Outage.Away, 5)]
    [InlineData(Place.Database, Outage.Away, 900)]
    [InlineData(Place.Database, Outage.Slow, 300)]
    [InlineData(Place.Database, Outage.Cut, 300)]
    [InlineData(Place.Store, Outage.Away, 5)]
    [InlineData(Place.Store, Outage.Away, 900)]
    [InlineData(Place.Store, Outage.Slow, 300)]
    [InlineData(Place.Store, Outage.Error500, 300)]
    [InlineData(Place.Store, Outage.Cut, 300)]
    [InlineData(Place.Broker, Outage.Away, 5)]
    [InlineData(Place.Broker, Outage.Away, 900)]
    [InlineData(Place.Broker, Outage.Slow, 300)]
    [InlineData(Place.Broker, Outage.Cut, 300)]
    public async Task What_goes_wrong_on_the_way_to_a_server_changes_nothing(Place place, Outage outage, int seconds)
    {
        var cluster = await ClusterAsync();
        var (met, disturbances, disturbed) = (cluster[place].Met, new List<Task>(), new HashSet<Type>());
        cluster.Script.Before = command =>
        {
            // The third layer and the last windows.
            lock (disturbed)
            {
                if (command is DecomposeLayers { Index: 2 } or EvaluateWindows { Index: 2 } && disturbed.Add(command.GetType()))
                    disturbances.Add(cluster.DisturbAsync(place, outage, TimeSpan.FromSeconds(seconds)));
            }
        };

        await SucceedAsync(cluster);

        await Task.WhenAll(disturbances);
        output.WriteLine($"{cluster[place].Met - met} connections met the outage");
        disturbances.Count.ShouldBe(2);
    }

    [Fact]
    public async Task A_full_disk_stops_its_worker_until_there_is_room()
    {
        var cluster = await ClusterAsync();
        var met = 0;
        cluster.Script.Before = command =>
        {
            if (command is not DecomposeLayers { Index: 2 } || met++ > 0)
                return;
            // Room is made after the third check.
            cluster.Machine = new MachineFault("no room");
            _ = cluster.AfterAsync(TimeSpan.FromSeconds(120), () => cluster.Machine = null);
            File.WriteAllBytes("/dev/full", [1]);
        };

        await SucceedAsync(cluster);

        met.ShouldBe(2);
    }

    [Fact]
    public async Task A_worker_that_is_lost_costs_the_unit_that_it_had()
    {
        var cluster = await ClusterAsync();
        using var proxy = new FaultProxy(broker.Port);
        var (lost, released) = (new TaskCompletionSource(), new TaskCompletionSource());
        var script = new WorkerScript { Layers = FaultCluster.Layers };
        script.Before = _ =>
        {
            proxy.Outage = Outage.Away;
            lost.TrySetResult();
            released.Task.Wait();
        };
        await cluster.StartWorkersAsync("lost", script, $"Bus:Port={proxy.Port}");
        // The other one does nothing until the unit is lost.
        cluster.Script.Before = command =>
        {
            if (command is DecomposeLayers { Index: > 0 })
                lost.Task.Wait(s_patience);
        };
        try
        {
            await SucceedAsync(cluster);
            lost.Task.IsCompletedSuccessfully.ShouldBeTrue();
        }
        finally
        {
            released.SetResult();
            proxy.Outage = Outage.None;
        }
    }

    private async Task<FaultCluster> ClusterAsync()
    {
        broker.Require();
        S3Server.Require();
        if (shared.Cluster is null)
        {
            shared.Cluster = await FaultCluster.StartAsync(broker, database.MigratedDatabase(), s3);
            await shared.Cluster.Registry.UploadAsync("tiny", TinyRecipes.Model);
            await shared.Cluster.Undisturbed.UploadAsync("tiny", TinyRecipes.Model);
        }
        shared.Cluster.Script.Commands.Clear();
        shared.Cluster.Describe();
        return shared.Cluster;
    }

    private async Task SucceedAsync(FaultCluster cluster)
    {
        var watch = Stopwatch.StartNew();
        var recipe = TinyRecipes.Full(++shared.Seed);
        var pipeline = await cluster.Registry.StartAsync("tiny", 1, recipe);
        // Beside it, which spares its time.
        var other = await cluster.Undisturbed.StartAsync("tiny", 1, recipe);
        var ended = await cluster.Registry.EndAsync(pipeline, s_patience, cluster.Describe);
        output.WriteLine($"{cluster.Script.Commands.Count} commands, {watch.Elapsed.TotalSeconds:0.0} s");
        ended.State.ShouldBe(PipelineState.Succeeded, $"{ended.Error}\n{cluster.Describe()}");
        var undisturbed = await cluster.Undisturbed.EndAsync(other, s_patience, cluster.Describe);
        (await ArtifactAsync(cluster.Registry, ended)).ShouldBe(await ArtifactAsync(cluster.Undisturbed, undisturbed));
        ended.Stages.ShouldBe(undisturbed.Stages);
        (await cluster.CountAsync($"units WHERE \"PipelineId\" = '{pipeline}' AND (\"Status\" <> 'Done' OR \"Failures\" > 0)")).ShouldBe(0);
        (await cluster.CountAsync($"units WHERE \"PipelineId\" = '{pipeline}' AND \"Kind\" = 'Decompose'")).ShouldBe(FaultCluster.Layers);
        (await cluster.CountAsync($"lineages WHERE \"PipelineId\" = '{pipeline}'")).ShouldBe(1);
        (await cluster.CountAsync("outbox")).ShouldBe(0);
    }

    private static async Task<string> ArtifactAsync(RegistryCalls registry, PipelineView pipeline) =>
        (await registry.Api.GetVersionAsync("tiny", $"{pipeline.Result.ShouldNotBeNull().Version}")).Manifest;
}
