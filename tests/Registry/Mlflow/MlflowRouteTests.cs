using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Qbb.Registry.Mlflow;
using Qbb.Registry.Mlflow.Client;
using Qbb.Registry.Tests.Service;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Mlflow;

/// <summary>The registry as MLflow's clients see it; read with our own client of MLflow, which real servers understand.</summary>
public sealed class MlflowRouteTests : IDisposable
{
    private const string Distilled = """{"decomposition":{"bases":2,"importance":"full"},"distillation":{"steps":30}}""";
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task Runs_are_searched_compared_and_read_with_their_history()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        using var mlflow = Connect(server);
        await server.UploadAsync("tiny");
        await server.UploadAsync("other", RegistryServer.SmallModel(1));
        var distilled = await server.EndOfAsync(await server.StartAsync(Distilled, name: "two"));
        var plain = await server.EndOfAsync(await server.StartAsync("""{"decomposition":{"bases":3}}""", name: "three"));

        var experiment = (await mlflow.GetExperimentByNameAsync("tiny")).Experiment;
        (await mlflow.SearchExperimentsAsync(new(1, "name LIKE 'ti%'"))).Experiments!.Single().ExperimentId.ShouldBe(experiment.ExperimentId);
        (await mlflow.SearchExperimentsAsync(new(10, OrderBy: ["name DESC"]))).Experiments!.Select(one => one.Name).ShouldBe(["tiny", "other"]);
        (await mlflow.GetExperimentAsync(experiment.ExperimentId)).Experiment.Name.ShouldBe("tiny");

        async Task<string[]> FindAsync(string? filter, params string[] orders) =>
            [.. ((await mlflow.SearchRunsAsync(new([experiment.ExperimentId], 10, filter, orders))).Runs ?? []).Select(run => run.Info.RunId)];
        (string two, string three) = ($"{distilled.Id:N}", $"{plain.Id:N}");
        (await FindAsync(null)).ShouldBe([three, two]);
        (await FindAsync("params.`decomposition.bases` = '2'")).ShouldBe([two]);
        (await FindAsync("metrics.`distil/kl` <= 0.1 and attributes.status = 'FINISHED'")).ShouldBe([two]);
        (await FindAsync("metrics.`distil/kl` > 0.1")).ShouldBeEmpty();
        (await FindAsync($"run_id IN ('{three}', 'x')")).ShouldBe([three]);
        (await FindAsync("tags.`qbb.recipeName` ILIKE 'T%'", "params.`decomposition.bases` DESC")).ShouldBe([three, two]);
        (await FindAsync(null, "metrics.`distil/kl` ASC")).ShouldBe([two, three]);
        (await FindAsync("params.`distillation.steps` IS NULL")).ShouldBe([three]);
        var pages = await MlflowBatches.AllAsync<Registry.Mlflow.Client.Run>(async token =>
        {
            var page = await mlflow.SearchRunsAsync(new([experiment.ExperimentId], 1, PageToken: token));
            return (page.Runs, page.NextPageToken);
        });
        pages.Select(run => run.Info.RunId).ShouldBe([three, two]);

        var shown = (await mlflow.GetRunAsync(two)).Run;
        (shown.Info.Status, shown.Info.RunName, shown.Info.EndTime > shown.Info.StartTime).ShouldBe((RunStatus.Finished, "two tiny", true));
        shown.Data!.Params!.ShouldContain(new KeyValue("distillation.steps", "30"));
        shown.Data.Metrics!.Single(metric => metric.Key == "kl").Value.ShouldBe(0.05, 1e-12);
        (await mlflow.HistoryAsync(two, "distil/kl", CancellationToken.None)).Select(point => (point.Step, point.Value)).ShouldBe([(0L, 0.2), (15L, 0.1), (30L, 0.1)]);
        (await mlflow.GetMetricHistoryAsync(two, "decompose/relativeError", 3)).NextPageToken.ShouldNotBeNull();
        (await mlflow.ListRunArtifactsAsync(two)).Files!.Select(file => file.Path).ShouldBe(["result.txt"]);
    }

    [Fact]
    public async Task Models_and_versions_are_found_and_their_files_come_down()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        using var mlflow = Connect(server);
        var files = RegistryServer.SmallModel();
        files["original/notes.md"] = "# notes"u8.ToArray();
        await server.UploadAsync("tiny", files);
        await server.UploadAsync("other", RegistryServer.SmallModel(1));
        var end = await server.EndOfAsync(await server.StartAsync(Distilled));
        await server.Api.SetTagAsync("tiny", "1", "team", new TagValue("red"));
        await server.Api.SetAliasAsync("tiny", "base", new AliasChange(1));

        (await mlflow.SearchRegisteredModelsAsync(new(10))).RegisteredModels!.Select(model => model.Name).ShouldBe(["other", "tiny"]);
        (await mlflow.SearchRegisteredModelsAsync(new(1, OrderBy: ["name DESC"]))).NextPageToken.ShouldNotBeNull();
        var model = (await mlflow.GetRegisteredModelAsync("tiny")).RegisteredModel;
        model.LatestVersions!.Single().Version.ShouldBe("2");
        model.Aliases.ShouldBe([new ModelAlias("base", "1"), new ModelAlias("champion", "2")]);
        (await mlflow.VersionsAsync("name = 'tiny'", CancellationToken.None)).Select(version => version.Version).ShouldBe(["2", "1"]);
        (await mlflow.VersionsAsync("tags.team = 'red' and version_number < 2", CancellationToken.None)).Single().Name.ShouldBe("tiny");
        (await mlflow.VersionsAsync($"run_id = '{end.Id:N}'", CancellationToken.None)).Single().Version.ShouldBe("2");
        (await mlflow.GetVersionByAliasAsync("tiny", "champion")).ModelVersion.Version.ShouldBe("2");
        (await mlflow.GetVersionAsync("tiny", "1")).ModelVersion.Aliases.ShouldBe(["base"]);

        using var none = new HttpClient();
        var artifacts = new MlflowFiles(mlflow, none);
        var folder = MlflowFiles.PathOf((await mlflow.GetDownloadUriAsync("tiny", "1")).ArtifactUri)!;
        var listed = await artifacts.ListAsync(folder, CancellationToken.None);
        listed.Order().ShouldBe(files.Select(file => (file.Key, (long)file.Value.Length)).Order());
        foreach (var (path, _) in listed)
        {
            using var bytes = new MemoryStream();
            await using (var stream = await artifacts.OpenAsync(folder, path, CancellationToken.None))
                await stream.CopyToAsync(bytes);
            bytes.ToArray().ShouldBe(files[path]);
        }
        // One registry takes a version of another by these routes.
        using var second = new TemporaryFolder();
        await using var taker = await RegistryServer.StartAsync(second, null, $"--Mlflow:TrackingUri={server.Client.BaseAddress}");
        (await taker.Api.ImportAsync(new("tiny", "base"))).Version.ShouldBe(1);
    }

    [Theory]
    [InlineData("GET", "experiments/get", "INVALID_PARAMETER_VALUE", "Missing value for required parameter 'experiment_id'")]
    [InlineData("GET", "experiments/get?experiment_id=7", "RESOURCE_DOES_NOT_EXIST", "No Experiment with id=7 exists")]
    [InlineData("GET", "runs/get?run_id=doesnotexist", "RESOURCE_DOES_NOT_EXIST", "Run with id=doesnotexist not found")]
    [InlineData("GET", "registered-models/get?name=none", "RESOURCE_DOES_NOT_EXIST", "Registered Model with name=none not found")]
    [InlineData("GET", "model-versions/get?name=none&version=x", "RESOURCE_DOES_NOT_EXIST", "version=x) not found")]
    [InlineData("GET", "registered-models/search?filter=nome='x'", "INVALID_PARAMETER_VALUE", "Invalid attribute key 'nome' specified. Valid keys are 'name'")]
    [InlineData("GET", "registered-models/search?filter=name>'x'", "INVALID_PARAMETER_VALUE", "Invalid comparator '>'")]
    [InlineData("GET", "registered-models/search?order_by=size", "INVALID_PARAMETER_VALUE", "Invalid order_by key 'size'")]
    [InlineData("GET", "registered-models/search?max_results=0", "INVALID_PARAMETER_VALUE", "must be at least 1")]
    [InlineData("GET", "registered-models/search?max_results=many", "INVALID_PARAMETER_VALUE", "must be a number")]
    [InlineData("GET", "registered-models/search?page_token=x", "INVALID_PARAMETER_VALUE", "Invalid page token")]
    [InlineData("POST", """runs/search {"experiment_ids":[],"filter":"metrics.kl = 'x'"}""", "INVALID_PARAMETER_VALUE", "Expected numeric value type for metrics.kl")]
    [InlineData("POST", """runs/search {"experiment_ids":[],"filter":"params.a = 1"}""", "INVALID_PARAMETER_VALUE", "Expected a quoted string value for params.a")]
    [InlineData("POST", """runs/search {"experiment_ids":[],"filter":"dataset.name = 'x'"}""", "INVALID_PARAMETER_VALUE", "Invalid entity type 'dataset'")]
    [InlineData("POST", "runs/search [1", "BAD_REQUEST", "not a JSON object")]
    [InlineData("POST", """runs/create {"experiment_id":"1"}""", "PERMISSION_DENIED", "read-only")]
    [InlineData("GET", "traces/search", "ENDPOINT_NOT_FOUND", "not among the MLflow routes")]
    public async Task What_cannot_be_answered_has_mlflows_form_of_errors(string method, string request, string code, string said)
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var parts = request.Split(' ', 2);
        using var message = new HttpRequestMessage(new HttpMethod(method), $"/api/2.0/mlflow/{(method == "POST" ? parts[0] : request)}");
        if (method == "POST")
            message.Content = new StringContent(parts[1], Encoding.UTF8, "application/json");
        using var answer = await server.Client.SendAsync(message);
        answer.StatusCode.ShouldNotBe(HttpStatusCode.OK);
        var error = JsonNode.Parse(await answer.Content.ReadAsStringAsync())!;
        ((string?)error["error_code"]).ShouldBe(code);
        ((string?)error["message"])!.ShouldContain(said);
    }

    public void Dispose() => _folder.Dispose();

    private static IMlflowApi Connect(RegistryServer server) =>
        MlflowConnection.Connect(new MlflowOptions { TrackingUri = server.Client.BaseAddress!.AbsoluteUri }, TimeProvider.System);
}
