using System.Diagnostics;
using System.Text;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Tests.Service;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Mlflow;

/// <summary>What MLflow knows of pipelines and versions after outages of every kind: everything, once, in order.</summary>
public sealed class MlflowSyncTests(ITestOutputHelper output)
{
    [Fact]
    public async Task A_server_that_fails_for_ten_minutes_gets_everything_once_and_in_order()
    {
        await using var desk = await SyncDesk.StartAsync();
        var pipeline = await desk.AddPipelineAsync();
        var back = desk.Clock.GetUtcNow().AddMinutes(10);
        desk.Fake.Fault = _ => desk.Clock.GetUtcNow() < back ? Fault.Fails : Fault.None;
        var (attempts, done) = (0, 0);
        for (; desk.Clock.GetUtcNow() < back; attempts++)
        {
            await desk.WorkAsync(pipeline, done, 3);
            done += 3;
            desk.Clock.Advance(await desk.TryAsync());
            desk.Status.Error.ShouldBe("the database is away (INTERNAL_ERROR)");
        }
        attempts.ShouldBeInRange(5, 15);
        desk.Fake.State.Runs.ShouldBeEmpty();
        await desk.PublishAsync(pipeline);
        await desk.CatchUpAsync();
        desk.Status.Error.ShouldBeNull();
        Check(desk, pipeline, done);
        await desk.TryAsync();
        Check(desk, pipeline, done);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Answers_that_are_lost_after_acting_repeat_nothing(int run)
    {
        var seed = Environment.TickCount + run;
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        await using var desk = await SyncDesk.StartAsync();
        desk.Fake.Fault = _ =>
        {
            // A change of eight requests passes by one attempt in 17.
            lock (random)
                return random.Next(10) switch { < 2 => Fault.LosesAnswer, 2 => Fault.Fails, _ => Fault.None };
        };
        var (pipeline, done) = (await desk.AddPipelineAsync(), 0);
        for (var save = 0; save < 12; save++)
        {
            var count = random.Next(1, 5);
            await desk.WorkAsync(pipeline, done, count);
            done += count;
            if (random.Next(3) > 0)
                desk.Clock.Advance(await desk.TryAsync());
        }
        await desk.PublishAsync(pipeline);
        await desk.CatchUpAsync();
        Check(desk, pipeline, done);
    }

    [Fact]
    public async Task A_slow_server_is_given_up_after_its_time_and_asked_again()
    {
        await using var desk = await SyncDesk.StartAsync("--Mlflow:RequestSeconds=30");
        var pipeline = await desk.AddPipelineAsync();
        await desk.WorkAsync(pipeline, 0, 5);
        var hang = true;
        desk.Fake.Fault = request => hang && request.Path.Value!.EndsWith("/runs/create", StringComparison.Ordinal) ? Fault.Hangs : Fault.None;
        var attempt = desk.TryAsync();
        while (desk.Fake.Count("POST /api/2.0/mlflow/runs/create") == 0)
            await Task.Yield();
        desk.Clock.Advance(TimeSpan.FromSeconds(29));
        attempt.IsCompleted.ShouldBeFalse();
        desk.Clock.Advance(TimeSpan.FromSeconds(1));
        await attempt;
        desk.Status.Error!.ShouldContain("did not answer within 30 s");
        hang = false;
        await desk.PublishAsync(pipeline);
        await desk.CatchUpAsync();
        Check(desk, pipeline, 5);
    }

    [Fact]
    public async Task Ten_thousand_metrics_arrive_in_fifteen_requests()
    {
        await using var desk = await SyncDesk.StartAsync();
        var pipeline = await desk.AddPipelineAsync();
        await desk.CatchUpAsync();
        desk.Fake.Requests.Clear();
        for (var save = 0; save < 20; save++)
            await desk.WorkAsync(pipeline, save * 500, 500);
        await desk.CatchUpAsync();
        output.WriteLine($"{desk.Fake.Requests.Count} requests");
        desk.Fake.Requests.Count.ShouldBeLessThanOrEqualTo(15);
        desk.Fake.State.Runs.Single().Series("decompose/relativeError").Select(point => point.Step).ShouldBe(Enumerable.Range(0, 10_000).Select(step => (long)step));
    }

    [Fact]
    public async Task A_server_of_2_without_logged_models_gets_all_the_rest()
    {
        await using var desk = await SyncDesk.StartAsync();
        desk.Fake.State.IsVersion2 = true;
        var pipeline = await desk.AddPipelineAsync();
        await desk.WorkAsync(pipeline, 0, 3);
        await desk.PublishAsync(pipeline);
        await desk.CatchUpAsync();
        Check(desk, pipeline, 3);
        desk.Fake.State.Models.Single().Versions.ShouldAllBe(version => version.Model == null);
        (await desk.InDatabaseAsync(context => context.MlflowChanges.CountAsync(change => change.Error != null))).ShouldBe(0);
    }

    /// <summary>What a pipeline pays for the sync: the row of each save, and the requests, although they run beside it.</summary>
    [Fact]
    public async Task A_unit_costs_one_row_and_a_pipeline_a_few_requests()
    {
        const int units = 100;
        await using var off = await SyncDesk.StartAsync("--Mlflow:TrackingUri=");
        await using var on = await SyncDesk.StartAsync();
        var (without, with) = (await off.AddPipelineAsync(), await on.AddPipelineAsync());
        await on.CatchUpAsync();
        var rows = await RowsAsync(on);
        var (bare, noted) = (new List<double>(), new List<double>());
        for (var unit = 0; unit < units; unit++)
        {
            bare.Add(await TimeAsync(() => off.WorkAsync(without, unit, 1)));
            noted.Add(await TimeAsync(() => on.WorkAsync(with, unit, 1)));
        }
        (await RowsAsync(on)).ShouldBe(rows + units);
        (await RowsAsync(off)).ShouldBe(0);
        await on.PublishAsync(with);
        on.Fake.Requests.Clear();
        var sending = await TimeAsync(() => on.CatchUpAsync());
        on.Fake.Requests.Count.ShouldBeLessThanOrEqualTo(20);
        Check(on, with, units);
        var (before, after) = (Median(bare), Median(noted));
        var share = (Math.Max(0, after - before) * units + sending) / (units * 1000.0);
        output.WriteLine(
            $"{units} units: a save takes {before:0.00} ms, with the sync {after:0.00} ms; {on.Fake.Requests.Count} requests take {sending:0} ms. Of a pipeline whose units take 1 s this is {share:P2}.");

        static Task<int> RowsAsync(SyncDesk desk) => desk.InDatabaseAsync(context => context.MlflowChanges.CountAsync());

        static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);

        static async Task<double> TimeAsync(Func<Task> work)
        {
            var watch = Stopwatch.StartNew();
            await work();
            return watch.Elapsed.TotalMilliseconds;
        }
    }

    [Fact]
    public async Task A_server_that_lost_its_database_in_mid_run_is_told_everything_again()
    {
        await using var desk = await SyncDesk.StartAsync();
        var earlier = await desk.AddPipelineAsync("other");
        await desk.WorkAsync(earlier, 0, 2);
        await desk.PublishAsync(earlier);
        var pipeline = await desk.AddPipelineAsync();
        await desk.WorkAsync(pipeline, 0, 7);
        await desk.CatchUpAsync();
        desk.Fake.Empty();
        desk.Clock.Advance(TimeSpan.FromMinutes(1));
        await desk.WorkAsync(pipeline, 7, 4);
        await desk.PublishAsync(pipeline);
        await desk.CatchUpAsync();
        Check(desk, pipeline, 11, models: 2);
        desk.Fake.State.Runs.Count.ShouldBe(2);
        desk.Fake.State.Models.Single(model => model.Name == "other").Aliases.Single().Value.ShouldBe("2");
    }

    [Fact]
    public async Task What_the_server_refuses_is_set_aside_and_stops_nothing()
    {
        await using var desk = await SyncDesk.StartAsync();
        var (first, second) = (await desk.AddPipelineAsync(), await desk.AddPipelineAsync("other"));
        await desk.CatchUpAsync();
        desk.Fake.State.Runs[0].Stage = "deleted";
        await desk.WorkAsync(first, 0, 3);
        await desk.WorkAsync(second, 0, 3);
        await desk.CatchUpAsync();
        var aside = await desk.InDatabaseAsync(context => context.MlflowChanges.Where(change => change.Error != null).ToListAsync());
        aside.Single().Error!.ShouldContain("must be in the 'active' state");
        desk.Fake.State.Runs[1].Series("decompose/relativeError").Count().ShouldBe(3);
        desk.Fake.State.Runs[0].Stage = "active";
        await desk.InDatabaseAsync(context => context.MlflowChanges.ExecuteUpdateAsync(set => set.SetProperty(change => change.Error, (string?)null)));
        await desk.CatchUpAsync();
        desk.Fake.State.Runs[0].Series("decompose/relativeError").Select(point => point.Step).ShouldBe([0L, 1L, 2L]);
    }

    [Fact]
    public async Task One_bad_metric_keeps_the_others_from_nothing()
    {
        await using var desk = await SyncDesk.StartAsync();
        var pipeline = await desk.AddPipelineAsync();
        for (var save = 0; save < 6; save++)
            await desk.WorkAsync(pipeline, save, 1);
        // As a row that this version of MLflow does not take.
        await desk.InDatabaseAsync(async context =>
        {
            var row = (await context.MlflowChanges.Where(change => change.Topic == MlflowTopic.Run).OrderBy(change => change.Id).ToListAsync())[3];
            return await context.MlflowChanges.Where(change => change.Id == row.Id)
                .ExecuteUpdateAsync(set => set.SetProperty(change => change.Body, row.Body.Replace("decompose/relativeError", "", StringComparison.Ordinal)));
        });
        await desk.CatchUpAsync();
        desk.Fake.State.Runs.Single().Series("decompose/relativeError").Select(point => point.Step).ShouldBe([0L, 1L, 3L, 4L, 5L]);
        (await desk.InDatabaseAsync(context => context.MlflowChanges.CountAsync(change => change.Error != null))).ShouldBe(1);
    }

    [Fact]
    public async Task A_run_that_fails_and_is_retried_says_so()
    {
        await using var desk = await SyncDesk.StartAsync();
        var pipeline = await desk.AddPipelineAsync();
        await SetAsync(PipelineStatus.Failed, "decompose 3: the disk is full");
        await desk.CatchUpAsync();
        var run = desk.Fake.State.Runs.Single();
        (run.Status, run.Tags["qbb.error"]).ShouldBe(("FAILED", "decompose 3: the disk is full"));
        await SetAsync(PipelineStatus.Running, null);
        await desk.CatchUpAsync();
        (run.Status, run.Tags["qbb.error"]).ShouldBe(("RUNNING", ""));
        await SetAsync(PipelineStatus.Cancelled, null);
        await desk.CatchUpAsync();
        run.Status.ShouldBe("KILLED");

        Task SetAsync(PipelineStatus status, string? error) => desk.InDatabaseAsync(async context =>
        {
            var row = await context.Pipelines.FirstAsync(known => known.Id == pipeline.Id);
            DateTimeOffset? end = status == PipelineStatus.Running ? null : desk.Clock.GetUtcNow();
            context.Entry(row).CurrentValues.SetValues(row with { Status = status, Error = error, EndedAt = end, Revision = row.Revision + 1 });
            return 0;
        });
    }

    [Fact]
    public async Task Files_of_versions_are_uploaded_where_that_is_configured()
    {
        await using var desk = await SyncDesk.StartAsync("--Mlflow:UploadFiles=true");
        var pipeline = await desk.AddPipelineAsync();
        await desk.WorkAsync(pipeline, 0, 2);
        var version = await desk.PublishAsync(pipeline);
        var bytes = Encoding.UTF8.GetBytes("""{"model_type":"llama"}""");
        var blob = await desk.Store.PutAsync(new MemoryStream(bytes));
        await desk.InDatabaseAsync(context =>
        {
            context.Files.Add(new VersionFile { VersionId = version.Id, Name = "config.json", Digest = blob.Digest.Value, Size = blob.Size });
            return Task.FromResult(0);
        });
        await desk.CatchUpAsync();
        var (run, there) = (desk.Fake.State.Runs.Single(), desk.Fake.State.Models.Single().Versions[1]);
        there.Source.ShouldBe($"{run.ArtifactUri}/model");
        desk.Fake.State.Artifacts[$"1/{run.Id}/artifacts/model/config.json"].ShouldBe(bytes);
    }

    [Fact]
    public async Task Changes_are_kept_for_some_days_and_then_removed()
    {
        await using var desk = await SyncDesk.StartAsync("--Mlflow:KeepDays=2");
        await desk.AddPipelineAsync();
        await desk.CatchUpAsync();
        desk.Clock.Advance(TimeSpan.FromDays(3));
        await desk.AddPipelineAsync("other");
        await desk.CatchUpAsync();
        (await desk.InDatabaseAsync(context => context.MlflowChanges.Select(change => change.CreatedAt).Distinct().CountAsync())).ShouldBe(1);
    }

    private static void Check(SyncDesk desk, Pipeline pipeline, int steps, int models = 1)
    {
        var run = desk.Fake.State.Runs.Single(run => run.Tags["qbb.pipeline"] == $"{pipeline.Id}");
        run.Series("decompose/relativeError").Select(point => point.Step).ShouldBe(Enumerable.Range(0, steps).Select(step => (long)step));
        run.Series("kl").ShouldBe([(0L, 0.1)]);
        run.Series("decompose/seconds").ShouldBe([(0L, 12.5)]);
        (run.Status, run.Params["decomposition.bases"], run.Params["distillation.steps"], run.Name).ShouldBe(("FINISHED", "2", "30", "two tiny"));
        desk.Fake.State.Models.Count.ShouldBe(models);
        var model = desk.Fake.State.Models.Single(known => known.Name == pipeline.ModelName);
        model.Versions.Select(version => (version.Number, version.Tags["qbb.version"])).ShouldBe([("1", "1"), ("2", "2")]);
        model.Versions[1].Run.ShouldBe(run.Id);
        (model.Versions[1].Source, model.Versions[1].Tags["kl"]).ShouldBe(($"http://registry.test:8080/models/{pipeline.ModelName}/versions/2", "0.1"));
        model.Aliases.ShouldBe(new Dictionary<string, string> { ["champion"] = "2" });
        run.Inputs.Select(input => ((string?)input["dataset"]!["name"], (string?)input["dataset"]!["digest"], (string?)input["tags"]![0]!["value"])).ShouldBe(
        [
            ("sampled", Digest.Of("data").Value[..36], "training"), ("filtered", Digest.Of("filtered").Value[..36], "training"), ("windows", Digest.Of("windows").Value[..36], "evaluation"),
        ]);
        if (desk.Fake.State.IsVersion2)
            return;
        var logged = desk.Fake.State.LoggedModels.Single(known => (string?)known["info"]!["source_run_id"] == run.Id);
        ((string?)logged["info"]!["status"], (string?)logged["info"]!["name"]).ShouldBe(("LOGGED_MODEL_READY", pipeline.ModelName));
        logged["data"]!["params"]!.AsArray().ShouldContain(parameter => (string?)parameter!["key"] == "decomposition.bases" && (string?)parameter["value"] == "2");
        var id = (string?)logged["info"]!["model_id"];
        model.Versions[1].Model.ShouldBe(id);
        run.Outputs.Select(outcome => (string?)outcome["model_id"]).ShouldBe([id]);
    }
}

/// <summary>The exchange as a part of the registry.</summary>
public sealed class MlflowServiceTests(PostgresServer postgres) : IClassFixture<PostgresServer>, IDisposable
{
    private const string Distilled = """{"decomposition":{"bases":2,"importance":"full"},"distillation":{"steps":30}}""";
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task A_pipeline_becomes_a_run_and_its_version_a_model_version()
    {
        await using var fake = await FakeMlflow.StartAsync();
        await using var server = await RegistryServer.StartAsync(_folder, null, $"--Mlflow:TrackingUri={fake.Address}");
        await server.UploadAsync("tiny");
        var end = await server.EndOfAsync(await server.StartAsync(Distilled, name: "two"));
        await server.Api.SetTagAsync("tiny", "2", "team", new TagValue("red"));
        await server.Api.SetAliasAsync("tiny", "prod", new AliasChange(2));
        await SyncedAsync(server);
        var run = fake.State.Runs.Single();
        (run.Status, run.Tags["qbb.pipeline"]).ShouldBe(("FINISHED", $"{end.Id}"));
        run.Series("decompose/relativeError").Count().ShouldBe(4);
        run.Series("distil/kl").ShouldBe([(0L, 0.2), (15L, 0.1), (30L, 0.1)]);
        run.Series("evaluate/perplexity").Count().ShouldBe(3);
        run.Series("perplexity").Count().ShouldBe(1);
        var model = fake.State.Models.Single();
        model.Aliases.ShouldBe(new Dictionary<string, string> { ["champion"] = "2", ["prod"] = "2" }, ignoreOrder: true);
        model.Versions[1].Tags["team"].ShouldBe("red");
        model.Versions[1].Link.ShouldEndWith($"/pipelines/{end.Id}");

        await server.Api.RemoveTagAsync("tiny", "2", "team");
        await server.Api.RemoveAliasAsync("tiny", "prod");
        await SyncedAsync(server);
        model.Aliases.Keys.ShouldBe(["champion"]);
        model.Versions[1].Tags.ShouldNotContainKey("team");
        (await server.Client.GetStringAsync("/mlflow")).ShouldContain("up to date");
    }

    [Fact]
    public async Task Without_a_server_nothing_is_noted()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await server.UploadAsync("tiny");
        await server.EndOfAsync(await server.StartAsync(Distilled));
        (await server.InDatabaseAsync(context => context.MlflowChanges.CountAsync())).ShouldBe(0);
        (await server.Client.GetStringAsync("/mlflow")).ShouldContain("No MLflow server is configured");
    }

    [Fact]
    public async Task On_postgresql_one_process_at_a_time_sends()
    {
        await using var fake = await FakeMlflow.StartAsync();
        fake.Fault = _ => Fault.Fails;
        await using var server = await RegistryServer.StartAsync(
            _folder, null, "--Database:Provider=postgres", $"--Database:ConnectionString={postgres.MigratedDatabase()}", $"--Mlflow:TrackingUri={fake.Address}");
        await using var scope = server.Services.CreateAsyncScope();
        var first = scope.ServiceProvider.GetRequiredService<RegistryContext>();
        await using (var held = await first.TryLockAsync(7, CancellationToken.None))
        {
            held.ShouldNotBeNull();
            (await server.InDatabaseAsync(context => context.TryLockAsync(7, CancellationToken.None))).ShouldBeNull();
        }
        var again = await server.InDatabaseAsync(async context =>
        {
            await using var held = await context.TryLockAsync(7, CancellationToken.None);
            return held;
        });
        again.ShouldNotBeNull();
        fake.Fault = _ => Fault.None;
        await server.UploadAsync("tiny");
        (await server.EndOfAsync(await server.StartAsync(Distilled))).State.ShouldBe(PipelineState.Succeeded);
        await SyncedAsync(server);
        fake.State.Runs.Single().Status.ShouldBe("FINISHED");
    }

    public void Dispose() => _folder.Dispose();

    private static Task SyncedAsync(RegistryServer server) =>
        RegistryServer.UntilAsync(() => server.InDatabaseAsync(context => context.MlflowChanges.AllAsync(change => change.SentAt != null)));
}
