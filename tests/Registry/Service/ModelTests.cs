using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
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

        var first = await server.Client.GetFromJsonAsync<JsonElement>("/api/models?limit=2");
        Names(first).ShouldBe(["a", "b"]);
        var rest = await server.Client.GetFromJsonAsync<JsonElement>($"/api/models?limit=2&after={first.GetProperty("next").GetString()}");
        Names(rest).ShouldBe(["c"]);
        rest.GetProperty("next").ValueKind.ShouldBe(JsonValueKind.Null);

        var versions = await server.Client.GetFromJsonAsync<JsonElement>("/api/models/a/versions?limit=3");
        versions.GetProperty("items").EnumerateArray().Select(version => version.GetProperty("version").GetInt32()).ShouldBe([4, 3, 2]);
        versions.GetProperty("next").GetString().ShouldBe("2");
        (await server.Client.GetAsync("/api/models?limit=0")).StatusCode.ShouldBe(HttpStatusCode.BadRequest);
    }

    [Fact]
    public async Task Aliases_move_and_tell_of_changes_in_between()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await server.UploadAsync("tiny");
        await server.UploadAsync("tiny", RegistryServer.SmallModel(seed: 1));
        (await server.Client.PutAsJsonAsync("/api/models/tiny/aliases/best", new { version = 1 })).EnsureSuccessStatusCode();
        var seen = (await server.Client.GetAsync("/api/models/tiny/aliases/best")).Headers.ETag!;
        (await PutAsync(server, "/api/models/tiny/aliases/best", new { version = 2 }, seen)).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await PutAsync(server, "/api/models/tiny/aliases/best", new { version = 1 }, seen)).StatusCode.ShouldBe(HttpStatusCode.PreconditionFailed);
        var version = await server.Client.GetFromJsonAsync<JsonElement>("/api/models/tiny/versions/best");
        version.GetProperty("version").GetInt32().ShouldBe(2);
        (await server.Client.PutAsJsonAsync("/api/models/tiny/aliases/7", new { version = 1 })).StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        (await server.Client.PutAsJsonAsync("/api/models/tiny/aliases/best", new { version = 9 })).StatusCode.ShouldBe(HttpStatusCode.NotFound);
        var manifest = version.GetProperty("manifest").GetString()!;
        (await server.Client.GetFromJsonAsync<JsonElement>($"/api/models/tiny/versions/{manifest[..12]}")).GetProperty("version").GetInt32().ShouldBe(2);

        (await server.Client.DeleteAsync("/api/models/tiny/versions/2")).StatusCode.ShouldBe(HttpStatusCode.Conflict);
        (await server.Client.DeleteAsync("/api/models/tiny/aliases/best")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        (await server.Client.DeleteAsync("/api/models/tiny/versions/2")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
    }

    [Fact]
    public async Task Search_finds_by_tags_figures_and_names()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        foreach (var (name, kl) in new[] { ("llama", 0.3), ("llama-small", 0.1), ("other", 0.2) })
        {
            await server.UploadAsync(name);
            (await server.Client.PutAsJsonAsync($"/api/models/{name}/versions/1/metrics", new { kl })).EnsureSuccessStatusCode();
        }
        (await server.Client.PutAsJsonAsync("/api/models/llama/versions/1/tags/team", new { value = "red" })).EnsureSuccessStatusCode();
        async Task<string[]> FindAsync(string query) => [.. Models(await server.Client.GetFromJsonAsync<JsonElement>("/api/search?" + query))];

        (await FindAsync("sort=kl")).ShouldBe(["llama-small", "other", "llama"]);
        (await FindAsync("sort=-kl&limit=1")).ShouldBe(["llama"]);
        (await FindAsync("q=llama&sort=kl")).ShouldBe(["llama-small", "llama"]);
        (await FindAsync("metric=kl%3C%3D0.2&sort=kl")).ShouldBe(["llama-small", "other"]);
        (await FindAsync("metric=kl%3E0.1&metric=kl%3C0.3")).ShouldBe(["other"]);
        (await FindAsync("tag=team:red")).ShouldBe(["llama"]);
        (await FindAsync("tag=team:blue")).ShouldBeEmpty();
        (await FindAsync("kind=quantized")).ShouldBeEmpty();
        (await server.Client.GetAsync("/api/search?metric=kl~1")).StatusCode.ShouldBe(HttpStatusCode.BadRequest);
    }

    [Fact]
    public async Task Deleted_models_come_back_with_what_was_deleted_with_them()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await server.UploadAsync("tiny");
        await server.UploadAsync("tiny", RegistryServer.SmallModel(seed: 1));
        (await server.Client.DeleteAsync("/api/models/tiny/versions/1")).EnsureSuccessStatusCode();
        (await server.Client.DeleteAsync("/api/models/tiny")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        (await server.Client.GetAsync("/api/models/tiny")).StatusCode.ShouldBe(HttpStatusCode.NotFound);
        (await server.Client.PostAsync("/api/models/tiny/restore", null)).EnsureSuccessStatusCode();
        (await server.Client.GetAsync("/api/models/tiny/versions/2")).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await server.Client.GetAsync("/api/models/tiny/versions/1")).StatusCode.ShouldBe(HttpStatusCode.NotFound);
        (await server.Client.PostAsync("/api/models/tiny/versions/1/restore", null)).EnsureSuccessStatusCode();
        (await server.Client.GetAsync("/api/models/tiny/versions/1")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Policies_are_checked_and_say_everything_that_is_wrong()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var response = await server.Client.PutAsJsonAsync("/api/policies/p", new
        {
            models = "",
            recipes = new object[] { new { name = "a", recipe = new { more = 1 } } },
            gate = new { maxKl = -1 },
        });
        response.StatusCode.ShouldBe(HttpStatusCode.UnprocessableEntity);
        var errors = (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("errors").EnumerateArray().Select(error => error.GetString()!).ToList();
        errors.ShouldContain(error => error.Contains("models must be a pattern"));
        errors.ShouldContain(error => error.Contains("unknown member more"));
        errors.ShouldContain(error => error.Contains("maxKl is -1"));
        (await server.Client.GetFromJsonAsync<JsonElement>("/api/policies")).GetProperty("items").GetArrayLength().ShouldBe(0);
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

    private static IEnumerable<string?> Names(JsonElement page) => page.GetProperty("items").EnumerateArray().Select(item => item.GetProperty("name").GetString());

    private static IEnumerable<string> Models(JsonElement page) => page.GetProperty("items").EnumerateArray().Select(item => item.GetProperty("model").GetString()!);

    private static Task<HttpResponseMessage> PutAsync(RegistryServer server, string address, object body, EntityTagHeaderValue seen)
    {
        var request = new HttpRequestMessage(HttpMethod.Put, address) { Content = JsonContent.Create(body) };
        request.Headers.IfMatch.Add(seen);
        return server.Client.SendAsync(request);
    }
}
