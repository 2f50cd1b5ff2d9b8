using System.Text;
using System.Text.Json;
using Qbb.Registry.Mlflow.Client;
using Run = Qbb.Registry.Mlflow.Client.Run;

namespace Qbb.Registry.Tests.Mlflow;

/// <summary>The client against a server: the fake, or the real one that MLFLOW_TRACKING_URI names.</summary>
public sealed class MlflowClientTests(MlflowServer server) : IClassFixture<MlflowServer>
{
    private readonly IMlflowApi _api = server.Api;
    private static readonly CancellationToken s_none = CancellationToken.None;

    [Fact]
    public async Task Experiments_are_created_found_renamed_deleted_and_restored()
    {
        var name = MlflowServer.NewName("exp");
        var id = (await _api.CreateExperimentAsync(new(name, [new("team", "q")]))).ExperimentId;
        (await _api.GetExperimentByNameAsync(name)).Experiment.ExperimentId.ShouldBe(id);
        (await RefusedAsync(() => _api.CreateExperimentAsync(new(name)))).Code.ShouldBe(MlflowCodes.AlreadyExists);
        await _api.SetExperimentTagAsync(new(id, "k", "v"));
        var shown = (await _api.GetExperimentAsync(id)).Experiment;
        shown.Tags.ShouldBe([new KeyValue("team", "q"), new KeyValue("k", "v")]);
        shown.ArtifactLocation.ShouldStartWith("mlflow-artifacts:/");
        (await _api.SearchExperimentsAsync(new(10, $"name = '{name}'"))).Experiments!.Single().ExperimentId.ShouldBe(id);
        await _api.RenameExperimentAsync(new(id, name + "2"));
        await _api.DeleteExperimentAsync(new(id));
        (await _api.GetExperimentAsync(id)).Experiment.LifecycleStage.ShouldBe("deleted");
        (await RefusedAsync(() => _api.CreateRunAsync(new(id)))).IsRefusal.ShouldBeTrue();
        await _api.RestoreExperimentAsync(new(id));
        (await RefusedAsync(() => _api.GetExperimentByNameAsync("no-such-experiment"))).IsMissing.ShouldBeTrue();
        (await RefusedAsync(() => _api.SearchExperimentsAsync(new(0)))).Code.ShouldBe(MlflowCodes.InvalidParameter);
    }

    [Fact]
    public async Task A_run_keeps_parameters_metrics_with_steps_tags_and_datasets()
    {
        var (experiment, run) = await NewRunAsync();
        await _api.LogBatchAsync(new(run, [new("kl", 0.5, 1_700_000_000_000, 0), new("kl", 0.25, 1_700_000_001_000, 10), new("kl", double.NaN, 1_700_000_002_000, 20)],
            [new("bits", "4")], [new("a", "b")]));
        await _api.LogMetricAsync(new(run, "huge", double.PositiveInfinity, 1_700_000_000_000, (1L << 53) + 1));
        await _api.LogParameterAsync(new(run, "group", "128"));
        await _api.LogParameterAsync(new(run, "group", "128"));
        await _api.SetTagAsync(new(run, "t", "v"));
        await _api.SetTagAsync(new(run, "gone", "v"));
        await _api.DeleteTagAsync(new(run, "gone"));
        await _api.LogInputsAsync(new(run, [new(new("sampled", "0123456789abcdef", "http", "https://example.com/d"), [new("mlflow.data.context", "training")])]));
        var refused = await RefusedAsync(() => _api.LogParameterAsync(new(run, "bits", "8")));
        (refused.Code, refused.IsRefusal, refused.MayHaveActed).ShouldBe((MlflowCodes.InvalidParameter, true, false));
        refused.Message.ShouldContain("Changing param values is not allowed");

        var shown = (await _api.GetRunAsync(run)).Run;
        shown.Data!.Params!.Order(Comparer<KeyValue>.Create((a, b) => string.CompareOrdinal(a.Key, b.Key))).ShouldBe([new("bits", "4"), new("group", "128")]);
        shown.Data.Tags!.ShouldContain(new KeyValue("t", "v"));
        shown.Data.Tags!.ShouldNotContain(tag => tag.Key == "gone");
        var huge = shown.Data.Metrics!.Single(metric => metric.Key == "huge");
        huge.Step.ShouldBe((1L << 53) + 1);
        (huge.Value > 1e300).ShouldBeTrue($"{huge.Value}");
        var history = await _api.HistoryAsync(run, "kl", s_none);
        history.Select(point => point.Step).ShouldBe([0L, 10L, 20L]);
        history[1].Value.ShouldBe(0.25);
        history[2].Value.ShouldBe(double.NaN);

        (await _api.UpdateRunAsync(new(run, RunStatus.Finished, 1_700_000_009_000))).RunInfo.Status.ShouldBe(RunStatus.Finished);
        var found = await _api.SearchRunsAsync(new([experiment], 5, "params.bits = '4'"));
        found.Runs!.Single().Info.RunId.ShouldBe(run);
        found.Runs!.Single().Info.EndTime.ShouldBe(1_700_000_009_000);
        await _api.DeleteRunAsync(new(run));
        (await _api.SearchRunsAsync(new([experiment], 5))).Runs.ShouldBeNull();
        (await RefusedAsync(() => _api.LogMetricAsync(new(run, "kl", 1, 1)))).IsRefusal.ShouldBeTrue();
        await _api.RestoreRunAsync(new(run));
        (await RefusedAsync(() => _api.GetRunAsync("doesnotexist"))).IsMissing.ShouldBeTrue();
        (await RefusedAsync(() => _api.SearchRunsAsync(new([experiment], 0)))).Code.ShouldBe(MlflowCodes.InvalidParameter);
    }

    [Fact]
    public async Task Batches_stay_within_the_limits_and_long_values_are_cut()
    {
        var (_, run) = await NewRunAsync();
        List<MetricPoint> points = [.. Enumerable.Range(0, 2500).Select(step => new MetricPoint("loss", 1.0 / (step + 1), 1_700_000_000_000 + step, step))];
        List<KeyValue> parameters = [.. Enumerable.Range(0, 130).Select(index => new KeyValue($"p{index}", new string('x', 7000)))];
        List<KeyValue> tags = [.. Enumerable.Range(0, 250).Select(index => new KeyValue($"t{index}", "v"))];
        var batches = MlflowBatches.Split(run, points, parameters, tags).ToList();
        batches.Count.ShouldBe(3);
        batches.ShouldAllBe(batch => batch.Metrics!.Count + batch.Params!.Count + batch.Tags!.Count <= MlflowLimits.Entries);
        await _api.LogAsync(run, points, parameters, tags, s_none);
        (await _api.HistoryAsync(run, "loss", s_none)).Select(point => point.Step).ShouldBe(Enumerable.Range(0, 2500).Select(step => (long)step));
        var data = (await _api.GetRunAsync(run)).Run.Data!;
        data.Params!.Count.ShouldBe(130);
        data.Params!.ShouldAllBe(parameter => parameter.Value.Length == MlflowLimits.ParameterValue);
        data.Tags!.Count(tag => tag.Key[0] == 't').ShouldBe(250);
        MlflowLimits.Cut("ab\U0001F600", 3).ShouldBe("ab");
        // What would be refused whole, had it not been split.
        (await RefusedAsync(() => _api.LogBatchAsync(new(run, points)))).Code.ShouldBe(MlflowCodes.InvalidParameter);
    }

    [Fact]
    public async Task Pages_follow_one_another_to_the_end()
    {
        var (experiment, first) = await NewRunAsync();
        var runs = new List<string> { first };
        for (var more = 0; more < 4; more++)
            runs.Add((await _api.CreateRunAsync(new(experiment, $"r{more}", 1_700_000_000_000 + more))).Run.Info.RunId);
        var found = await MlflowBatches.AllAsync<Run>(async token =>
        {
            var page = await _api.SearchRunsAsync(new([experiment], 2, PageToken: token));
            (page.Runs?.Count ?? 0).ShouldBeLessThanOrEqualTo(2);
            return (page.Runs, page.NextPageToken);
        });
        found.Select(run => run.Info.RunId).Order().ShouldBe(runs.Order());
        await _api.LogAsync(first, [.. Enumerable.Range(0, 5).Select(step => new MetricPoint("m", step, 1_700_000_000_000, step))], [], [], s_none);
        var history = await MlflowBatches.AllAsync<MetricPoint>(async token =>
        {
            var page = await _api.GetMetricHistoryAsync(first, "m", 2, token);
            return (page.Metrics, page.NextPageToken);
        });
        history.Select(point => point.Step).ShouldBe([0L, 1L, 2L, 3L, 4L]);
        // A token that leads to itself, as an empty history has on some servers.
        (await MlflowBatches.AllAsync<int>(_ => Task.FromResult<(IReadOnlyList<int>?, string?)>((null, "eyJvZmZzZXQiOiAwfQ==")))).ShouldBeEmpty();
    }

    [Fact]
    public async Task Models_have_versions_tags_and_aliases()
    {
        var name = MlflowServer.NewName("llama");
        var (_, run) = await NewRunAsync();
        (await _api.CreateRegisteredModelAsync(new(name, "d", [new("family", "llama")]))).RegisteredModel.Name.ShouldBe(name);
        (await RefusedAsync(() => _api.CreateRegisteredModelAsync(new(name)))).Code.ShouldBe(MlflowCodes.AlreadyExists);
        for (var number = 1; number <= 3; number++)
        {
            var made = (await _api.CreateVersionAsync(new(name, $"https://models.example.com/models/{name}/versions/{number}", run, "awq", [new("n", $"{number}")], "https://models.example.com/pipelines/1"))).ModelVersion;
            (made.Version, made.Status, made.RunId).ShouldBe(($"{number}", MlflowVersion.Ready, run));
        }
        await _api.SetAliasAsync(new(name, "champion", "2"));
        (await _api.GetVersionByAliasAsync(name, "champion")).ModelVersion.Version.ShouldBe("2");
        (await _api.GetVersionAsync(name, "2")).ModelVersion.Aliases.ShouldBe(["champion"]);
        await _api.SetVersionTagAsync(new(name, "2", "ppl", "6.12"));
        (await _api.GetVersionAsync(name, "2")).ModelVersion.TagOf("ppl").ShouldBe("6.12");
        await _api.DeleteVersionTagAsync(new(name, "2", "ppl"));
        (await _api.UpdateVersionAsync(new(name, "2", "awq g128"))).ModelVersion.Description.ShouldBe("awq g128");
        await _api.SetRegisteredModelTagAsync(new(name, "k", "v"));
        await _api.UpdateRegisteredModelAsync(new(name, "other"));
        var model = (await _api.GetRegisteredModelAsync(name)).RegisteredModel;
        (model.Description, model.Aliases!.Single()).ShouldBe(("other", new ModelAlias("champion", "2")));
        var bySource = await _api.VersionsAsync($"name = '{name}' and source_path = 'https://models.example.com/models/{name}/versions/3'", s_none);
        bySource.Single().Version.ShouldBe("3");
        var paged = await MlflowBatches.AllAsync<MlflowVersion>(async token =>
        {
            var page = await _api.SearchVersionsAsync(new(2, $"name='{name}'", ["version_number ASC"], token));
            return (page.ModelVersions, page.NextPageToken);
        });
        paged.Select(version => version.Version).Order().ShouldBe(["1", "2", "3"]);
        (await _api.SearchRegisteredModelsAsync(new(5, $"name LIKE '{name}%'", ["name ASC"]))).RegisteredModels!.Single().Name.ShouldBe(name);
        (await _api.GetDownloadUriAsync(name, "1")).ArtifactUri.ShouldEndWith("/versions/1");
        await _api.DeleteAliasAsync(new(name, "champion"));
        (await _api.GetRegisteredModelAsync(name)).RegisteredModel.Aliases.ShouldBeNull();
        await _api.DeleteVersionAsync(new(name, "1"));
        (await RefusedAsync(() => _api.GetVersionAsync(name, "1"))).IsMissing.ShouldBeTrue();
        (await _api.RenameRegisteredModelAsync(new(name, name + "2"))).RegisteredModel.Name.ShouldBe(name + "2");
        await _api.DeleteRegisteredModelAsync(new(name + "2"));
        (await RefusedAsync(() => _api.GetRegisteredModelAsync(name + "2"))).IsMissing.ShouldBeTrue();
    }

    [Fact]
    public async Task Logged_models_of_3_x_are_created_finalized_tagged_and_found()
    {
        var (experiment, run) = await NewRunAsync();
        var model = (await _api.CreateLoggedModelAsync(new(experiment, "tiny", SourceRunId: run, Params: [new("bits", "4")]))).Model.Info;
        model.ArtifactUri!.ShouldContain(model.ModelId);
        await _api.LogOutputsAsync(new(run, [new(model.ModelId, 3)]));
        (await _api.FinalizeLoggedModelAsync(model.ModelId, new(model.ModelId, "LOGGED_MODEL_READY"))).Model.Info.Status.ShouldBe("LOGGED_MODEL_READY");
        await _api.SetLoggedModelTagsAsync(model.ModelId, new([new("k", "v")]));
        (await _api.GetLoggedModelAsync(model.ModelId)).Model.Info.Tags!.ShouldContain(new KeyValue("k", "v"));
        (await _api.SearchLoggedModelsAsync(new([experiment], 5))).Models!.Single().Info.ModelId.ShouldBe(model.ModelId);
        await _api.DeleteLoggedModelAsync(model.ModelId);
        (await RefusedAsync(() => _api.GetLoggedModelAsync("m-none"))).IsMissing.ShouldBeTrue();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Files_go_up_in_parts_where_the_server_can_and_come_back_as_they_were(bool hasMultipart)
    {
        if (server.Fake is { } fake)
            fake.State.HasMultipart = hasMultipart;
        var (experiment, run) = await NewRunAsync();
        using var parts = new HttpClient();
        var files = new MlflowFiles(_api, parts, new MlflowPartSizes(Least: 1000, Part: 600));
        var folder = MlflowFiles.PathOf((await _api.GetRunAsync(run)).Run.Info.ArtifactUri!)!;
        var bytes = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 500).Select(number => $"{number};")));
        await files.PutAsync(folder + "/model", "big one.bin", bytes.Length, (offset, length) => Task.FromResult<Stream>(new MemoryStream(bytes, (int)offset, (int)length)), s_none);
        await files.PutAsync(folder + "/model/tokenizer", "small.json", 10, (offset, length) => Task.FromResult<Stream>(new MemoryStream(bytes, (int)offset, (int)length)), s_none);

        (await files.ListAsync(folder, s_none)).Order().ShouldBe([("model/big one.bin", (long)bytes.Length), ("model/tokenizer/small.json", 10L)]);
        (await _api.ListRunArtifactsAsync(run, "model")).Files!.Select(file => (file.Path, file.IsDir)).Order().ShouldBe([("model/big one.bin", false), ("model/tokenizer", true)]);
        using var back = new MemoryStream();
        await using (var stream = await files.OpenAsync(folder, "model/big one.bin", s_none))
            await stream.CopyToAsync(back);
        back.ToArray().ShouldBe(bytes);
        await _api.DeleteArtifactAsync(folder + "/model/big one.bin");
        (await RefusedAsync(() => files.OpenAsync(folder, "model/big one.bin", s_none))).ShouldNotBeNull();
        MlflowFiles.PathOf("s3://bucket/1/model").ShouldBeNull();
        experiment.ShouldNotBeEmpty();
    }

    [Fact]
    public void Numbers_may_be_strings_and_what_is_unknown_or_missing_is_passed_over()
    {
        const string Text = """
            {"run":{"info":{"run_id":"a","experiment_id":"1","status":"RUNNING","start_time":"1700000000000","new_in_4":{}},
             "data":{"metrics":[{"key":"m","value":"-Infinity","timestamp":"1700000000000","step":"7"},{"key":"n","value":2,"timestamp":5}]},"inputs":{}}}
            """;
        var run = JsonSerializer.Deserialize<RunAnswer>(Text, MlflowConnection.Json)!.Run;
        (run.Info.StartTime, run.Info.EndTime, run.Info.Status).ShouldBe((1_700_000_000_000, null, RunStatus.Running));
        run.Data!.Metrics.ShouldBe([new("m", double.NegativeInfinity, 1_700_000_000_000, 7), new("n", 2, 5)]);
        JsonSerializer.Serialize(new MetricPoint("m", double.NaN, 1, 2), MlflowConnection.Json).ShouldBe("""{"key":"m","value":"NaN","timestamp":1,"step":2}""");
        JsonSerializer.Serialize(new RunUpdate("a", RunStatus.Killed), MlflowConnection.Json).ShouldBe("""{"run_id":"a","status":"KILLED"}""");
    }

    private async Task<(string Experiment, string Run)> NewRunAsync()
    {
        var experiment = (await _api.CreateExperimentAsync(new(MlflowServer.NewName("exp")))).ExperimentId;
        return (experiment, (await _api.CreateRunAsync(new(experiment, "one", 1_700_000_000_000, [new("mlflow.user", "ci")]))).Run.Info.RunId);
    }

    private static Task<MlflowException> RefusedAsync(Func<Task> call) => call.ShouldThrowAsync<MlflowException>();
}
