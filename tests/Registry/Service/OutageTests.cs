using Microsoft.EntityFrameworkCore;
using Qbb.Artifacts;
using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

/// <summary>Stores that go away, and results that are gone: every pipeline ends as it would have.</summary>
public sealed class OutageTests : IDisposable
{
    private const string Distilled = """{"decomposition":{"bases":2,"importance":"full"},"distillation":{"steps":30}}""";
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task A_store_that_is_away_more_often_than_attempts_are_allowed_fails_nothing()
    {
        var away = 6;
        var script = new WorkerScript { IsAway = command => command is AssembleModel && Interlocked.Decrement(ref away) >= 0 };
        await using var server = await RegistryServer.StartAsync(_folder, script, "--Pipelines:Attempts=2");
        await server.UploadAsync("tiny");
        var end = await server.EndOfAsync(await server.StartAsync(Distilled));
        end.State.ShouldBe(PipelineState.Succeeded);
        script.Count<AssembleModel>().ShouldBe(7);
        (await server.InDatabaseAsync(context => context.Units.AllAsync(unit => unit.Failures == 0))).ShouldBeTrue();
    }

    [Fact]
    public async Task A_store_that_is_away_when_a_pipeline_is_published_does_not_fail_it()
    {
        var away = 0;
        var script = new WorkerScript { IsStoreAway = method => method == nameof(IArtifactStore.OpenReadAsync) && Interlocked.Decrement(ref away) >= 0 };
        await using var server = await RegistryServer.StartAsync(_folder, script);
        await server.UploadAsync("tiny");
        away = 3;
        var end = await server.EndOfAsync(await server.StartAsync(Distilled));
        end.Error.ShouldBeNull();
        end.State.ShouldBe(PipelineState.Succeeded);
        away.ShouldBeLessThan(0, "the store was away in between");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_retry_goes_on_from_what_is_there_still(bool isCollected)
    {
        var broken = true;
        var script = new WorkerScript { Refuse = command => command is EvaluateWindows && broken ? "not now" : null };
        await using var server = await RegistryServer.StartAsync(_folder, script);
        await server.UploadAsync("tiny");
        await server.ExpireLeasesAsync();
        var id = await server.StartAsync(Distilled);
        (await server.EndOfAsync(id)).State.ShouldBe(PipelineState.Failed);
        // What a failed pipeline made is kept for its retry, for so many days.
        var report = await server.Api.CollectAsync(deletedDays: 0, resultDays: 0, graceMinutes: 0, retryDays: isCollected ? 0 : 1);
        (report.Blobs > 0).ShouldBe(isCollected);
        var before = script.Count<DecomposeLayers>();

        broken = false;
        await server.Api.RetryPipelineAsync(id);

        var end = await server.EndOfAsync(id);
        end.Error.ShouldBeNull();
        end.State.ShouldBe(PipelineState.Succeeded);
        script.Count<DecomposeLayers>().ShouldBe(isCollected ? 2 * before : before);
        var units = await server.InDatabaseAsync(context => context.Units.ToListAsync());
        units.ShouldAllBe(unit => unit.Status == UnitStatus.Done);
        end.Metrics!["kl"].ShouldBe(0.05, 1e-12);
    }

    public void Dispose() => _folder.Dispose();
}
