using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Registry.Pages;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

public sealed class PageTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public void What_stands_in_braces_is_encoded()
    {
        var name = "<script>&\"";
        Markup.Of($"<b title=\"{name}\">{Markup.Of($"<i>{1.5:0.00}</i>")}</b>").Text
            .ShouldBe("<b title=\"&lt;script&gt;&amp;&quot;\"><i>1.50</i></b>");
    }

    [Fact]
    public async Task Models_versions_and_pipelines_can_be_browsed()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        (await server.Client.GetStringAsync("/")).ShouldContain("qbb push FOLDER --name NAME");
        await server.UploadAsync("tiny");
        var request = new HttpRequestMessage(HttpMethod.Patch, "/api/models/tiny") { Content = JsonContent.Create(new { description = "a <b>small</b> one" }) };
        (await server.Client.SendAsync(request)).EnsureSuccessStatusCode();
        var started = await server.Client.PostAsJsonAsync("/api/pipelines", new { model = "tiny", recipe = JsonNode.Parse("""{"decomposition":{"bases":3}}""") });
        var id = (await started.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("id").GetString()!;
        await server.EndOfAsync(id);

        var list = await server.Client.GetStringAsync("/");
        list.ShouldContain("a &lt;b&gt;small&lt;/b&gt; one");
        list.ShouldContain("""<a href="/models/tiny/versions/2">version 2</a>""");
        (await server.Client.GetStringAsync("/models/tiny")).ShouldContain("champion");
        (await server.Client.GetStringAsync("/models/tiny/versions/1")).ShouldContain("/api/models/tiny/versions/1/files/config.json");
        (await server.Client.GetStringAsync("/models/tiny/versions/2")).ShouldContain("perplexity");
        (await server.Client.GetStringAsync($"/pipelines/{id}")).ShouldContain("<strong>succeeded</strong>");
        var pipelines = await server.Client.GetAsync("/pipelines");
        (await pipelines.Content.ReadAsStringAsync()).ShouldContain($"/pipelines/{id}");
        pipelines.Headers.GetValues("Content-Security-Policy").Single().ShouldContain("default-src 'none'");
        foreach (var asset in new[] { "/assets/site.css", "/assets/live.js" })
            (await server.Client.GetAsync(asset)).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Theory]
    [InlineData("Sec-Fetch-Site", "cross-site", HttpStatusCode.Forbidden)]
    [InlineData("Origin", "http://elsewhere.example", HttpStatusCode.Forbidden)]
    [InlineData("Sec-Fetch-Site", "same-origin", HttpStatusCode.OK)]
    [InlineData("X-None", "1", HttpStatusCode.OK)]
    public async Task Pages_of_other_sites_cannot_change_anything(string header, string value, HttpStatusCode expected)
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var request = new HttpRequestMessage(HttpMethod.Post, "/api/collect?dryRun=true");
        request.Headers.Add(header, value);
        (await server.Client.SendAsync(request)).StatusCode.ShouldBe(expected);
    }

    public void Dispose() => _folder.Dispose();
}
