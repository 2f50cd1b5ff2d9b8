using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.EntityFrameworkCore;
using Qbb.Contracts;
using Qbb.Registry.Pipelines.Machine;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

/// <summary>What differs between the databases, on PostgreSQL: locks, duplicates, times, ids in order, and a server that goes away.</summary>
public sealed class PostgresTests(PostgresServer postgres) : IClassFixture<PostgresServer>, IDisposable
{
    private const string Plain = """{"decomposition":{"bases":3}}""";
    private const string Distilled = """{"decomposition":{"bases":2,"importance":"full"},"distillation":{"steps":30}}""";

    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task A_distilled_pipeline_ends_and_doubled_messages_act_once()
    {
        await using var server = await StartAsync(new WorkerScript { Copies = 3, Layers = 7 });
        await server.UploadAsync("tiny");
        var end = await server.EndOfAsync(await AskAsync(server, Distilled));
        end.GetProperty("error").GetString().ShouldBeNull();
        end.GetProperty("result").GetProperty("version").GetInt32().ShouldBe(2);
        server.Workers.Count<DecomposeLayers>().ShouldBe(7);
        (await server.Client.GetFromJsonAsync<JsonElement>("/api/models/tiny/versions/champion")).GetProperty("version").GetInt32().ShouldBe(2);
        (await server.InDatabaseAsync(context => context.Outbox.CountAsync())).ShouldBe(0);
    }

    [Fact]
    public async Task Of_many_that_are_asked_at_once_one_runs_and_all_get_its_result()
    {
        var hold = new TaskCompletionSource();
        await using var server = await StartAsync(new WorkerScript { Decompose = hold.Task });
        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => server.UploadAsync("tiny")));
        var ids = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => AskAsync(server, Plain)));
        hold.SetResult();
        foreach (var id in ids)
            (await server.EndOfAsync(id)).GetProperty("result").GetProperty("version").GetInt32().ShouldBe(2);
        server.Workers.Count<DecomposeLayers>().ShouldBe(4);
        (await server.InDatabaseAsync(context => context.Versions.CountAsync())).ShouldBe(2);
    }

    [Fact]
    public async Task A_database_that_crashes_in_between_loses_nothing()
    {
        await using var server = await StartAsync(new WorkerScript { Layers = 60 });
        await server.UploadAsync("tiny");
        var id = await AskAsync(server, Distilled);
        for (var crash = 0; crash < 3; crash++)
        {
            await Task.Delay(400);
            await postgres.CrashAsync();
            await Task.Delay(300);
            await postgres.StartAsync();
        }
        (await server.EndOfAsync(id, seconds: 120)).GetProperty("state").GetString().ShouldBe("succeeded");
        var units = await server.InDatabaseAsync(context => context.Units.Where(unit => unit.Kind == UnitKind.Decompose).ToListAsync());
        units.Count.ShouldBe(60);
        units.ShouldAllBe(unit => unit.Status == UnitStatus.Done);
    }

    [Fact]
    public async Task Pages_searches_and_collections_work_as_on_sqlite()
    {
        await using var server = await StartAsync(new WorkerScript());
        foreach (var (name, kl) in new[] { ("b", 0.3), ("a", 0.1), ("c", 0.2) })
        {
            await server.UploadAsync(name);
            (await server.Client.PutAsJsonAsync($"/api/models/{name}/versions/1/metrics", new { kl })).EnsureSuccessStatusCode();
        }
        string[] ids = [await AskAsync(server, Plain, "a"), await AskAsync(server, Distilled, "a")];
        foreach (var id in ids)
            await server.EndOfAsync(id);
        (await ItemsAsync(server, "/api/models?limit=2&after=a", "name")).ShouldBe(["b", "c"]);
        (await ItemsAsync(server, "/api/search?metric=kl%3C%3D0.2&sort=-kl&kind=upload", "model")).ShouldBe(["c", "a"]);
        (await ItemsAsync(server, "/api/pipelines?limit=1", "id")).ShouldBe([ids[1]]);
        (await ItemsAsync(server, $"/api/pipelines?after={ids[1]}", "id")).ShouldBe([ids[0]]);
        (await server.Client.DeleteAsync("/api/models/c")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        var collected = await server.Client.PostAsync("/api/collect?deletedDays=0&resultDays=0&graceMinutes=0", null);
        (await collected.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("versions").GetInt32().ShouldBe(1);
        (await server.Client.GetAsync("/models/a")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    public void Dispose() => _folder.Dispose();

    private Task<RegistryServer> StartAsync(WorkerScript script, params string[] settings) => RegistryServer.StartAsync(
        _folder, script, ["--Database:Provider=postgres", $"--Database:ConnectionString={postgres.NewDatabase()}", .. settings]);

    private static async Task<string> AskAsync(RegistryServer server, string recipe, string model = "tiny")
    {
        var response = await server.Client.PostAsJsonAsync("/api/pipelines", new { model, version = 1, recipe = JsonNode.Parse(recipe) });
        response.StatusCode.ShouldBe(HttpStatusCode.Accepted, await response.Content.ReadAsStringAsync());
        return (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("id").GetString()!;
    }

    private static async Task<string?[]> ItemsAsync(RegistryServer server, string address, string member) =>
        [.. (await server.Client.GetFromJsonAsync<JsonElement>(address)).GetProperty("items").EnumerateArray().Select(item => item.GetProperty(member).GetString())];
}
