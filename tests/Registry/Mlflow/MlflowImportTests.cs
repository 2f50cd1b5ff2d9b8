using System.Net;
using System.Text.Json.Nodes;
using Microsoft.EntityFrameworkCore;
using Qbb.Contracts;
using Qbb.Registry.Mlflow;
using Qbb.Registry.Tests.Service;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Mlflow;

/// <summary>Versions of MLflow that become versions here.</summary>
public sealed class MlflowImportTests : IDisposable
{
    private const string Plain = """{"decomposition":{"bases":3}}""";
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task A_version_is_imported_with_its_files_and_policies_quantize_it()
    {
        await using var fake = await FakeMlflow.StartAsync();
        await using var server = await RegistryServer.StartAsync(_folder, null, $"--Mlflow:TrackingUri={fake.Address}");
        await server.Api.SetPolicyAsync("all", new PolicyChange("*", [new NamedRecipe("three", JsonNode.Parse(Plain)!)]));
        Put(fake, "llama", "1", "model/");
        var made = await server.Api.ImportAsync(new("llama", "1", "tiny"));
        (made.Model, made.Version, made.Pipelines.Count).ShouldBe(("tiny", 1, 1));
        var version = await server.Api.GetVersionAsync("tiny", "1");
        version.Files!.Select(file => file.Name).ShouldBe(["config.json", "model.safetensors", "tokenizer.json"]);
        version.Files!.First(file => file.Name == "model.safetensors").Digest.ShouldBe(Digest.Of(RegistryServer.SmallModel()["model.safetensors"]));
        version.Tags["mlflow.version"].ShouldBe("llama/1");
        (await server.EndOfAsync(made.Pipelines[0])).State.ShouldBe(PipelineState.Succeeded);
        fake.State.Models.Single(model => model.Name == "llama").Aliases["prod"] = "1";
        var again = await server.Api.ImportAsync(new("llama", "prod", "tiny"));
        (again.Version, again.Pipelines.Count).ShouldBe((1, 0));
    }

    [Fact]
    public async Task What_cannot_be_imported_is_refused_with_the_reason()
    {
        await using var fake = await FakeMlflow.StartAsync();
        await using var server = await RegistryServer.StartAsync(_folder, null, $"--Mlflow:TrackingUri={fake.Address}");
        (await RegistryServer.RefusedAsync(HttpStatusCode.NotFound, () => server.Api.ImportAsync(new("llama", "1")))).Message.ShouldContain("not found");
        fake.State.Models.Add(new FakeModel("llama") { Versions = { new FakeVersion("llama", "1", "s3://bucket/llama"), new FakeVersion("llama", "2", "mlflow-artifacts:/1/empty") } });
        (await RegistryServer.RefusedAsync(HttpStatusCode.BadRequest, () => server.Api.ImportAsync(new("llama", "1")))).Message.ShouldContain("--serve-artifacts");
        (await RegistryServer.RefusedAsync(HttpStatusCode.BadRequest, () => server.Api.ImportAsync(new("llama", "2")))).Message.ShouldContain("is not a model");
        (await RegistryServer.RefusedAsync(HttpStatusCode.BadRequest, () => server.Api.ImportAsync(new("llama", "2", "a/b")))).Message.ShouldContain("cannot be the model's name here");
        fake.Fault = _ => Fault.Fails;
        (await RegistryServer.RefusedAsync(HttpStatusCode.BadGateway, () => server.Once.ImportAsync(new("llama", "1")))).Message.ShouldContain("the database is away");
        using var other = new TemporaryFolder();
        await using var off = await RegistryServer.StartAsync(other);
        (await RegistryServer.RefusedAsync(HttpStatusCode.Conflict, () => off.Api.ImportAsync(new("llama", "1")))).Message.ShouldContain("set Mlflow:TrackingUri");
    }

    [Fact]
    public async Task A_policy_takes_versions_with_a_tag_each_once()
    {
        await using var fake = await FakeMlflow.StartAsync();
        await using var server = await RegistryServer.StartAsync(_folder, null, $"--Mlflow:TrackingUri={fake.Address}", "--Mlflow:PollSeconds=0.1");
        // More than a page of the search has room for.
        for (var number = 1; number <= 205; number++)
            Put(fake, "llama", $"{number}", "", seed: number, tag: number is 3 or 205 ? "yes" : "no");
        await server.Api.SetPolicyAsync("nightly", new PolicyChange("llama", [new NamedRecipe("three", JsonNode.Parse(Plain)!)], Mlflow: new MlflowSource("llama", "quantize:yes")));
        await RegistryServer.UntilAsync(async () => await server.InDatabaseAsync(context => context.MlflowImports.CountAsync(import => import.VersionId != null)) == 2);
        var searches = fake.Count("GET /api/2.0/mlflow/model-versions/search");
        await RegistryServer.UntilAsync(() => Task.FromResult(fake.Count("GET /api/2.0/mlflow/model-versions/search") > searches + 4));
        (await server.Api.ListVersionsAsync("llama")).Items.Count(version => version.Kind == VersionKind.Upload).ShouldBe(2);
        (await server.Api.ListPipelinesAsync("llama")).Items.Count.ShouldBe(2);
        (await server.Client.GetStringAsync("/mlflow")).ShouldContain("llama/205");
        fake.State.Models[0].Versions[9].Tags["quantize"] = "yes";
        await RegistryServer.UntilAsync(async () => (await server.Api.ListPipelinesAsync("llama")).Items.Count == 3);
        var refused = await RegistryServer.RefusedAsync(HttpStatusCode.UnprocessableEntity, () => server.Api.SetPolicyAsync(
            "bad", new PolicyChange("tiny*", [new NamedRecipe("three", JsonNode.Parse(Plain)!)], Mlflow: new MlflowSource("llama", ""))));
        refused.Message.ShouldContain("does not match models tiny*");
        refused.Message.ShouldContain("mlflow.tag must be key or key:value");
    }

    [Fact]
    public void The_outermost_model_is_chosen_with_a_tokenizer_beside_it()
    {
        Choose("MLmodel", "conda.yaml", "model/config.json", "model/model-00001-of-00002.safetensors", "model/model.safetensors.index.json", "model/pytorch_model.bin",
            "components/tokenizer/tokenizer.json", "components/tokenizer/vocab.json").ShouldBe(
            ["model/config.json", "model/model-00001-of-00002.safetensors", "model/model.safetensors.index.json", "components/tokenizer/tokenizer.json", "components/tokenizer/vocab.json"]);
        Choose("a/b/config.json", "a/b/model.safetensors", "config.json", "model.safetensors", "LICENSE").ShouldBe(["LICENSE", "config.json", "model.safetensors"], ignoreOrder: true);
        Choose("MLmodel", "artifacts/tiny.gguf", "artifacts/notes.txt").ShouldBe(["artifacts/tiny.gguf"]);
        Choose("MLmodel", "model.pkl").ShouldBeEmpty();

        static IEnumerable<string> Choose(params string[] paths) => MlflowImporter.Choose([.. paths.Select(path => (path, 1L))]).Select(file => file.Path);
    }

    public void Dispose() => _folder.Dispose();

    private static void Put(FakeMlflow fake, string name, string version, string below, int seed = 0, string? tag = null)
    {
        var model = fake.State.Models.Find(known => known.Name == name);
        if (model is null)
            fake.State.Models.Add(model = new FakeModel(name));
        var added = new FakeVersion(name, version, $"mlflow-artifacts:/9/{version}/artifacts/m");
        if (tag is not null)
            added.Tags["quantize"] = tag;
        model.Versions.Add(added);
        foreach (var (file, bytes) in RegistryServer.SmallModel(seed))
            fake.State.Artifacts[$"9/{version}/artifacts/m/{below}{file}"] = bytes;
        fake.State.Artifacts[$"9/{version}/artifacts/m/MLmodel"] = "flavors: {}"u8.ToArray();
        fake.State.Artifacts[$"9/{version}/artifacts/m/components/tokenizer/tokenizer.json"] = "{}"u8.ToArray();
    }
}
