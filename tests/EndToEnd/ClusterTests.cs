using Qbb.EndToEnd.Tests.Servers;
using Qbb.Hosting.Bus;
using Qbb.Registry.Tests.Service;
using Qbb.Tests;

namespace Qbb.EndToEnd.Tests;

/// <summary>The services as processes over a real RabbitMQ and a real PostgreSQL.</summary>
public sealed class ClusterTests(RabbitServer broker, PostgresServer database) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_worker_that_is_stopped_in_a_unit_hands_it_back()
    {
        broker.Require();
        const int finishSeconds = 1;
        using var cluster = new Cluster(broker, database.NewDatabase(), "Worker:UnitSeconds=600", $"Bus:FinishSeconds={finishSeconds}");
        cluster.Start("qbb-quantizer");
        await cluster.HostAsync("qbb-registry", "qbb-synthdata");
        using var registry = new RegistryCalls(cluster.Url);
        var version = await registry.UploadAsync("tiny", TinyRecipes.Model);
        // Steps enough for minutes, which the unit's time allows.
        var recipe = PipelineRecipe.Parse(TinyRecipes.Full().ToJson().Replace("\"steps\":40", "\"steps\":100000", StringComparison.Ordinal));
        var pipeline = await registry.StartAsync("tiny", version, recipe);
        while ((await registry.Api.GetPipelineAsync(pipeline)).Stage != Stage.Distil)
            await Task.Delay(50);
        // It has computed for a second.
        var quantizer = cluster["qbb-quantizer"];
        for (var before = quantizer.ProcessorTime; quantizer.ProcessorTime - before < TimeSpan.FromSeconds(1);)
            await Task.Delay(50);
        var (_, time) = await quantizer.StopAsync();
        time.ShouldBeLessThan(new BusOptions { FinishSeconds = finishSeconds }.StopTimeout);
        (await registry.Api.GetPipelineAsync(pipeline)).State.ShouldBe(PipelineState.Running);
        // The next worker takes it up again: it is in the queue, not in the error queue.
        await cluster.Start("qbb-quantizer").ReadyAsync();
        (await registry.Api.GetPipelineAsync(pipeline)).Error.ShouldBeNull();
        cluster["qbb-quantizer"].Log.ShouldNotContain("failed");
    }

    [Fact]
    public async Task A_service_whose_broker_is_away_says_so_and_gives_up()
    {
        broker.Require();
        using var service = new ServiceProcess("qbb-quantizer", FreePort.Next(),
        [
            "Bus:Transport=RabbitMq", "Bus:Host=127.0.0.1", $"Bus:Port={FreePort.Next()}", "Startup:WaitSeconds=1",
            $"Artifacts:Folder={_folder.File("artifacts")}", $"Worker:Folder={_folder.File("work")}",
        ]);
        (await service.ExitAsync()).ShouldBe(1);
        service.Log.ShouldContain("error: the broker at 127.0.0.1:");
        service.Log.ShouldContain("Gave up after 1 s (Startup:WaitSeconds)");
    }
}
