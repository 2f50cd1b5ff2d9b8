using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

public sealed class ModelTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task Lists_come_in_pages()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        foreach (var name in new[] { "b", "a", "c" })
            await server.UploadAsync(name);
        for (var seed = 1; seed < 4; seed++)
            await server.UploadAsync("a", RegistryServer.SmallModel(seed));

        var first = await server.Api.ListModelsAsync(limit: 2);
        first.Items.Select(model => model.Name).ShouldBe(["a", "b"]);
        var rest = await server.Api.ListModelsAsync(after: first.Next, limit: 2);
        rest.Items.Select(model => model.Name).ShouldBe(["c"]);
        rest.Next.ShouldBeNull();

        var versions = await server.Api.ListVersionsAsync("a", limit: 3);
        versions.Items.Select(version => version.Version).ShouldBe([4, 3, 2]);
        versions.Next.ShouldBe("2");
        await RegistryServer.RefusedAsync(HttpStatusCode.BadRequest, () => server.Api.ListModelsAsync(limit: 0));
    }

    [Fact]
    public async Task Aliases_move_and_tell_of_changes_in_between()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await server.UploadAsync("tiny");
        await server.UploadAsync("tiny", RegistryServer.SmallModel(seed: 1));
        await server.Api.SetAliasAsync("tiny", "best", new AliasChange(1));
        var seen = (await server.Client.GetAsync("/api/models/tiny/aliases/best")).Headers.ETag!;
        (await PutAsync(server, "/api/models/tiny/aliases/best", new { version = 2 }, seen)).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await PutAsync(server, "/api/models/tiny/aliases/best", new { version = 1 }, seen)).StatusCode.ShouldBe(HttpStatusCode.PreconditionFailed);
        var version = await server.Api.GetVersionAsync("tiny", "best");
        version.Version.ShouldBe(2);
        await RegistryServer.RefusedAsync(HttpStatusCode.BadRequest, () => server.Api.SetAliasAsync("tiny", "7", new AliasChange(1)));
        await RegistryServer.RefusedAsync(HttpStatusCode.NotFound, () => server.Api.SetAliasAsync("tiny", "best", new AliasChange(9)));
        (await server.Api.GetVersionAsync("tiny", version.Manifest[..12])).Version.ShouldBe(2);
        (await server.Api.GetAliasAsync("tiny", "best")).Version.ShouldBe(2);
        (await server.Api.ListAliasesAsync("tiny")).ShouldBe(new Dictionary<string, int> { ["best"] = 2 });

        await RegistryServer.RefusedAsync(HttpStatusCode.Conflict, () => server.Api.DeleteVersionAsync("tiny", "2"));
        await server.Api.RemoveAliasAsync("tiny", "best");
        await server.Api.DeleteVersionAsync("tiny", "2");
    }

    [Fact]
    public async Task Search_finds_by_tags_figures_and_names()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        foreach (var (name, kl) in new[] { ("llama", 0.3), ("llama-small", 0.1), ("other", 0.2) })
        {
            await server.UploadAsync(name);
            await server.Api.SetMetricsAsync(name, "1", new() { ["kl"] = kl });
        }
        await server.Api.SetTagAsync("llama", "1", "team", new TagValue("red"));
        async Task<string[]> FindAsync(SearchQuery query) => [.. (await server.Api.SearchAsync(query)).Items.Select(version => version.Model)];

        (await FindAsync(new(Sort: "kl"))).ShouldBe(["llama-small", "other", "llama"]);
        (await FindAsync(new(Sort: "-kl", Limit: 1))).ShouldBe(["llama"]);
        (await FindAsync(new(Q: "llama", Sort: "kl"))).ShouldBe(["llama-small", "llama"]);
        (await FindAsync(new(Metric: ["kl<=0.2"], Sort: "kl"))).ShouldBe(["llama-small", "other"]);
        (await FindAsync(new(Metric: ["kl>0.1", "kl<0.3"]))).ShouldBe(["other"]);
        (await FindAsync(new(Tag: ["team:red"]))).ShouldBe(["llama"]);
        (await FindAsync(new(Tag: ["team:blue"]))).ShouldBeEmpty();
        (await FindAsync(new(Kind: VersionKind.Quantized))).ShouldBeEmpty();
        (await FindAsync(new(Kind: VersionKind.Upload, Sort: "kl"))).Length.ShouldBe(3);
        await RegistryServer.RefusedAsync(HttpStatusCode.BadRequest, () => server.Api.SearchAsync(new(Metric: ["kl~1"])));
        (await server.Client.GetStringAsync("/api/search?kind=upload")).ShouldContain("\"kind\":\"upload\"");
        var other = await server.Client.GetAsync("/api/search?kind=other");
        other.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        (await other.Content.ReadAsStringAsync()).ShouldContain("kind is one of upload, quantized");

        await server.Api.RemoveTagAsync("llama", "1", "team");
        (await server.Api.ListTagsAsync("llama", "1")).ShouldBeEmpty();
        (await server.Api.ListMetricsAsync("llama", "1")).ShouldBe(new Dictionary<string, double> { ["kl"] = 0.3 });
    }

    [Fact]
    public async Task Deleted_models_come_back_with_what_was_deleted_with_them()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await server.UploadAsync("tiny");
        await server.UploadAsync("tiny", RegistryServer.SmallModel(seed: 1));
        (await server.Api.ChangeModelAsync("tiny", new ModelChange("of two blocks"))).Description.ShouldBe("of two blocks");
        await server.Api.DeleteVersionAsync("tiny", "1");
        await server.Api.DeleteModelAsync("tiny");
        await RegistryServer.RefusedAsync(HttpStatusCode.NotFound, () => server.Api.GetModelAsync("tiny"));
        (await server.Api.RestoreModelAsync("tiny")).Latest.ShouldBe(2);
        (await server.Api.GetVersionAsync("tiny", "2")).Version.ShouldBe(2);
        await RegistryServer.RefusedAsync(HttpStatusCode.NotFound, () => server.Api.GetVersionAsync("tiny", "1"));
        await server.Api.RestoreVersionAsync("tiny", "1");
        (await server.Api.GetVersionAsync("tiny", "1")).Version.ShouldBe(1);
    }

    [Fact]
    public async Task Policies_are_checked_and_say_everything_that_is_wrong()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var recipes = new[] { new NamedRecipe("a", new JsonObject { ["more"] = 1 }) };
        var refused = await RegistryServer.RefusedAsync(
            HttpStatusCode.UnprocessableEntity, () => server.Api.SetPolicyAsync("p", new PolicyChange("", recipes, new Gate { MaxKl = -1 })));
        refused.Errors.ShouldContain(error => error.Contains("models must be a pattern"));
        refused.Errors.ShouldContain(error => error.Contains("unknown member more"));
        refused.Errors.ShouldContain(error => error.Contains("maxKl is -1"));
        (await server.Api.ListPoliciesAsync()).Items.ShouldBeEmpty();
    }

    [Fact]
    public async Task The_interface_describes_itself_and_errors_are_problem_details()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var document = await server.Client.GetFromJsonAsync<JsonElement>("/openapi/v1.json");
        var paths = document.GetProperty("paths").EnumerateObject().ToDictionary(path => path.Name, path => path.Value);
        paths.Keys.ShouldContain("/api/models/{name}/versions/{reference}");
        foreach (var operation in paths.Values.SelectMany(path => path.EnumerateObject()).Where(operation => operation.Value.ValueKind == JsonValueKind.Object))
            operation.Value.TryGetProperty("summary", out _).ShouldBeTrue(operation.Value.ToString());

        var missing = await server.Client.GetAsync("/api/models/none");
        missing.Content.Headers.ContentType!.MediaType.ShouldBe("application/problem+json");
        (await missing.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("detail").GetString().ShouldBe("there is no model none");
        var broken = await server.Client.PostAsync("/api/pipelines", new StringContent("{", MediaTypeHeaderValue.Parse("application/json")));
        broken.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        broken.Content.Headers.ContentType!.MediaType.ShouldBe("application/problem+json");
        (await server.Client.GetAsync("/health/ready")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    public void Dispose() => _folder.Dispose();

    private static Task<HttpResponseMessage> PutAsync(RegistryServer server, string address, object body, EntityTagHeaderValue seen)
    {
        var request = new HttpRequestMessage(HttpMethod.Put, address) { Content = JsonContent.Create(body) };
        request.Headers.IfMatch.Add(seen);
        return server.Client.SendAsync(request);
    }
}
