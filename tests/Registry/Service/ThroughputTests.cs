using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.EntityFrameworkCore;
using Qbb.Contracts;
using Qbb.EndToEnd.Tests.Servers;
using Qbb.Registry.Pipelines.Machine;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

/// <summary>
/// Many units of trivial work over RabbitMQ and PostgreSQL: each is counted once, and the log says how fast they went. QBB_UNITS says how many;
/// the usual number is small, to keep the tests short. Workers and registry share the process.
/// </summary>
public sealed class ThroughputTests(RabbitServer broker, PostgresServer postgres, ITestOutputHelper output)
    : IClassFixture<RabbitServer>, IClassFixture<PostgresServer>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task Many_units_are_all_counted_once()
    {
        RabbitServer.Require();
        var units = int.Parse(Environment.GetEnvironmentVariable("QBB_UNITS") ?? "1000", CultureInfo.InvariantCulture);
        var database = postgres.NewDatabase();
        var script = new WorkerScript { Layers = units, SameLayers = true };
        await using var server = await RegistryServer.StartAsync(
            _folder, script, "--Database:Provider=postgres", $"--Database:ConnectionString={database}", "--Bus:Transport=RabbitMq",
            "--Bus:Host=127.0.0.1", $"--Bus:Port={broker.Port}", "--Bus:Prefix=throughput", "--Pipelines:Outstanding=500");
        await server.UploadAsync("tiny");
        var watch = Stopwatch.StartNew();
        var before = Process.GetCurrentProcess().TotalProcessorTime;
        var asked = await server.Client.PostAsJsonAsync(
            "/api/pipelines", new { model = "tiny", recipe = JsonNode.Parse("""{"decomposition":{"bases":3}}""") });
        var id = (await asked.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("id").GetString()!;
        (await server.EndOfAsync(id, seconds: 600, lookMilliseconds: 1000)).GetProperty("state").GetString().ShouldBe("succeeded");
        var seconds = watch.Elapsed.TotalSeconds;
        var process = Process.GetCurrentProcess();
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{units} units in {seconds:0.0} s, {units / seconds:0} units/s; {(process.TotalProcessorTime - before).TotalMilliseconds / units:0.00} ms of this process's CPU time each, {process.PeakWorkingSet64 >> 20} MiB at most"));
        script.Count<DecomposeLayers>().ShouldBe(units);
        (await server.InDatabaseAsync(context => context.Units.CountAsync(unit => unit.Kind == UnitKind.Decompose && unit.Status == UnitStatus.Done)))
            .ShouldBe(units);
    }

    public void Dispose() => _folder.Dispose();
}
