using System.Net;
using Microsoft.EntityFrameworkCore;
using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Pipelines.Stages;
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
        var end = await server.EndOfAsync(await server.StartAsync(Distilled));
        end.Error.ShouldBeNull();
        end.Result!.Version.ShouldBe(2);
        server.Workers.Count<DecomposeLayers>().ShouldBe(7);
        (await server.Api.GetVersionAsync("tiny", "champion")).Version.ShouldBe(2);
        await RegistryServer.UntilAsync(() => server.InDatabaseAsync(async context => !await context.Outbox.AnyAsync()));
    }

    [Fact]
    public async Task Of_many_that_are_asked_at_once_one_runs_and_all_get_its_result()
    {
        var hold = new TaskCompletionSource();
        await using var server = await StartAsync(new WorkerScript { Decompose = hold.Task });
        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => server.UploadAsync("tiny")));
        var ids = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => server.StartAsync(Plain)));
        hold.SetResult();
        foreach (var id in ids)
            (await server.EndOfAsync(id)).Result!.Version.ShouldBe(2);
        server.Workers.Count<DecomposeLayers>().ShouldBe(4);
        (await server.InDatabaseAsync(context => context.Versions.CountAsync())).ShouldBe(2);
    }

    [Fact]
    public async Task A_database_that_crashes_in_between_loses_nothing()
    {
        await using var server = await StartAsync(new WorkerScript { Layers = 60 });
        await server.UploadAsync("tiny");
        var id = await server.StartAsync(Distilled);
        for (var crash = 0; crash < 3; crash++)
        {
            await Task.Delay(400);
            await postgres.CrashAsync();
            await Task.Delay(300);
            await postgres.StartAsync();
        }
        (await server.EndOfAsync(id)).State.ShouldBe(PipelineState.Succeeded);
        var units = await server.InDatabaseAsync(context => context.Units.Where(unit => unit.Kind == DecomposeStage.Kind).ToListAsync());
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
            await server.Api.SetMetricsAsync(name, "1", new() { ["kl"] = kl });
        }
        Guid[] ids = [await server.StartAsync(Plain, "a"), await server.StartAsync(Distilled, "a")];
        foreach (var id in ids)
            await server.EndOfAsync(id);
        (await server.Api.ListModelsAsync(after: "a", limit: 2)).Items.Select(model => model.Name).ShouldBe(["b", "c"]);
        var found = await server.Api.SearchAsync(new(Metric: ["kl<=0.2"], Sort: "-kl", Kind: VersionKind.Upload));
        found.Items.Select(version => version.Model).ShouldBe(["c", "a"]);
        (await server.Api.ListPipelinesAsync(limit: 1)).Items.Select(pipeline => pipeline.Id).ShouldBe([ids[1]]);
        (await server.Api.ListPipelinesAsync(after: ids[1])).Items.Select(pipeline => pipeline.Id).ShouldBe([ids[0]]);
        await server.Api.DeleteModelAsync("c");
        (await server.CollectAsync()).Versions.ShouldBe(1);
        (await server.Client.GetAsync("/models/a")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    public void Dispose() => _folder.Dispose();

    private Task<RegistryServer> StartAsync(WorkerScript script, params string[] settings) => RegistryServer.StartAsync(
        _folder, script, ["--Database:Provider=postgres", $"--Database:ConnectionString={postgres.NewDatabase()}", .. settings]);
}
