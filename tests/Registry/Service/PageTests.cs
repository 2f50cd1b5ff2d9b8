using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Qbb.Registry.Pages;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

public sealed partial class PageTests : IDisposable
{
    private const string Hostile = "<script>alert(1)</script>\" onmouseover=\"x";
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
        var id = await QuantizedAsync(server);

        var list = await server.Client.GetStringAsync("/");
        list.ShouldContain("""<a href="/models/tiny/versions/2">version 2</a>""");
        var model = await server.Client.GetStringAsync("/models/tiny");
        model.ShouldContain("qbb pull tiny@champion -o tiny-champion --url http://127.0.0.1:");
        model.ShouldContain("class=\"graph\"");
        (await server.Client.GetStringAsync("/models/tiny/versions/1")).ShouldContain("""href="/api/models/tiny/versions/1/files/config.json" download""");
        var version = await server.Client.GetStringAsync("/models/tiny/versions/champion");
        version.ShouldContain("Teacher&#x27;s perplexity");
        version.ShouldContain("made from tiny v1 by three");
        (await server.Client.GetStringAsync("/models/tiny/versions/1/view/config.json")).ShouldContain("<code>{}</code>");
        (await server.Client.GetStringAsync("/models/tiny/compare?v=1&v=2")).ShouldContain("decomposition.bases");
        (await server.Client.GetStringAsync($"/pipelines/{id}")).ShouldContain("""<span class="state succeeded">succeeded</span>""");
        (await server.Client.GetStringAsync("/pipelines")).ShouldContain($"/pipelines/{id}");
        (await server.Client.GetStringAsync("/pipelines?state=failed")).ShouldContain("No pipelines are failed");
        (await server.Client.GetStringAsync("/search?metric=kl<1&kind=quantized")).ShouldContain("tiny version 2");
        (await server.Client.GetStringAsync("/search?metric=kl<0.001")).ShouldContain("No results");
        (await server.Client.GetStringAsync("/policies")).ShouldContain("No policies yet");
        (await server.Client.GetStringAsync("/interface")).ShouldContain("/api/pipelines/{id}/events");
    }

    [Fact]
    public async Task Policies_are_made_changed_and_removed_by_forms()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var made = await PostAsync(server, "/policies", ("name", "llamas"), ("models", "llama-*"), ("bases", "2"), ("bases", "4"), ("preset", "best"), ("ratio", "1.5"), ("bits", ""));
        made.StatusCode.ShouldBe(HttpStatusCode.SeeOther);
        made.Headers.Location!.OriginalString.ShouldBe("/policies#policy-llamas");
        var policy = await server.Api.GetPolicyAsync("llamas");
        policy.Recipes.Select(known => known.Name).ShouldBe(["2-bases", "4-bases"]);
        policy.Recipes[1].Recipe.ToJsonString()
            .ShouldBe("""{"decomposition":{"bases":4},"evaluation":{},"preset":"best"}""");
        policy.Gate.ShouldBe(new Gate { MaxPerplexityRatio = 1.5 });

        (await PostAsync(server, "/policies", ("name", "llamas"), ("models", "*"), ("bases", "3"))).StatusCode.ShouldBe(HttpStatusCode.UnprocessableEntity);
        (await PostAsync(server, "/policies", ("name", "none"), ("models", "*"))).StatusCode.ShouldBe(HttpStatusCode.UnprocessableEntity);
        (await PostAsync(server, "/policies", ("name", "odd"), ("models", "*"), ("bases", "3"), ("preset", "quick"))).StatusCode.ShouldBe(HttpStatusCode.UnprocessableEntity);
        var page = await server.Client.GetStringAsync("/policies");
        page.ShouldContain("perplexity at most 1.5 times");

        var text = JsonSerializer.Serialize(new PolicyChange("*", policy.Recipes, policy.Gate), Wire.Json);
        (await PostAsync(server, "/policies/llamas", ("text", text))).StatusCode.ShouldBe(HttpStatusCode.SeeOther);
        (await server.Api.GetPolicyAsync("llamas")).Models.ShouldBe("*");
        (await PostAsync(server, "/policies/llamas", ("text", "{"))).StatusCode.ShouldBe(HttpStatusCode.UnprocessableEntity);
        (await PostAsync(server, "/policies/llamas/remove")).StatusCode.ShouldBe(HttpStatusCode.SeeOther);
        await RegistryServer.RefusedAsync(HttpStatusCode.NotFound, () => server.Api.GetPolicyAsync("llamas"));
    }

    [Fact]
    public async Task A_running_pipeline_is_live_until_it_has_ended()
    {
        var gate = new TaskCompletionSource();
        await using var server = await RegistryServer.StartAsync(_folder, new WorkerScript { Decompose = gate.Task });
        await server.UploadAsync("tiny");
        var id = await StartAsync(server);
        var page = await server.Client.GetStringAsync($"/pipelines/{id}");
        page.ShouldContain($"data-events=\"/api/pipelines/{id}/events\"");
        page.ShouldContain("assets/live.js");
        page.ShouldContain("""action="/pipelines/""");
        page.ShouldContain("<noscript>");
        gate.SetResult();
        await server.EndOfAsync(id);
        var after = await server.Client.GetStringAsync($"/pipelines/{id}");
        after.ShouldNotContain("data-events");
        after.ShouldNotContain("assets/live.js");
    }

    [Fact]
    public async Task A_failed_pipeline_says_why_and_can_be_tried_again()
    {
        var script = new WorkerScript { Refuse = command => command is Contracts.EvaluateWindows ? $"no {Hostile}" : null };
        await using var server = await RegistryServer.StartAsync(_folder, script);
        await server.UploadAsync("tiny");
        var id = await StartAsync(server);
        await server.EndOfAsync(id);
        var page = await server.Client.GetStringAsync($"/pipelines/{id}");
        page.ShouldContain("role=\"alert\"");
        page.ShouldContain("no &lt;script&gt;");
        page.ShouldContain($"/pipelines/{id}/retry");
        script.Refuse = _ => null;
        (await PostAsync(server, $"/pipelines/{id}/retry")).StatusCode.ShouldBe(HttpStatusCode.SeeOther);
        (await server.EndOfAsync(id)).State.ShouldBe(PipelineState.Succeeded);
    }

    [Fact]
    public async Task Forms_change_what_they_say_and_show_the_page_again()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await server.UploadAsync("tiny");
        var shown = await PostAsync(server, "/models/tiny/versions/1/aliases", ("alias", "production"));
        shown.StatusCode.ShouldBe(HttpStatusCode.SeeOther);
        shown.Headers.Location!.ToString().ShouldBe("/models/tiny/versions/1#aliases");
        await PostAsync(server, "/models/tiny/versions/1/tags", ("key", "team"), ("value", "red"));
        await PostAsync(server, "/models/tiny/description", ("description", " of two blocks "));
        var page = await server.Client.GetStringAsync("/models/tiny/versions/production");
        page.ShouldContain("<span class=\"alias\">production</span>");
        page.ShouldContain("team: red");
        (await server.Client.GetStringAsync("/")).ShouldContain(">of two blocks<");
        await PostAsync(server, "/models/tiny/versions/1/aliases/remove", ("alias", "production"));
        await PostAsync(server, "/models/tiny/versions/1/tags/remove", ("key", "team"));
        page = await server.Client.GetStringAsync("/models/tiny/versions/1");
        page.ShouldNotContain("production</span>");
        page.ShouldNotContain("team: red");
        (await PostAsync(server, "/models/tiny/versions/1/aliases", ("alias", "7"))).StatusCode.ShouldBe(HttpStatusCode.BadRequest);
    }

    [Fact]
    public async Task A_version_can_be_deleted_and_restored()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await QuantizedAsync(server);
        (await server.Client.GetStringAsync("/models/tiny/versions/champion")).ShouldContain("has aliases cannot be deleted");
        (await PostAsync(server, "/models/tiny/versions/2/delete")).StatusCode.ShouldBe(HttpStatusCode.Conflict);
        await PostAsync(server, "/models/tiny/versions/2/aliases/remove", ("alias", "champion"));
        (await PostAsync(server, "/models/tiny/versions/2/delete")).StatusCode.ShouldBe(HttpStatusCode.SeeOther);
        (await server.Client.GetAsync("/models/tiny/versions/2")).StatusCode.ShouldBe(HttpStatusCode.NotFound);
        (await server.Client.GetStringAsync("/models/tiny")).ShouldContain("Restore version 2");
        await PostAsync(server, "/models/tiny/versions/2/restore");
        (await server.Client.GetStringAsync("/models/tiny")).ShouldNotContain("Restore version 2");
        (await server.Client.GetAsync("/models/tiny/versions/2")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_known_recipe_can_be_asked_for_with_a_form()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await QuantizedAsync(server);
        await server.UploadAsync("other", RegistryServer.SmallModel(3));
        var recipe = Option().Match(await server.Client.GetStringAsync("/models/other")).Groups[1].Value;
        var shown = await PostAsync(server, "/models/other/quantize", ("version", "1"), ("recipe", recipe));
        var id = Guid.Parse(shown.Headers.Location!.ToString().Split('/')[^1]);
        (await server.EndOfAsync(id)).State.ShouldBe(PipelineState.Succeeded);
        (await PostAsync(server, "/models/other/quantize", ("version", "1"), ("recipe", "none"))).StatusCode.ShouldBe(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task Versions_are_sorted_by_the_figure_that_is_asked_for()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        foreach (var (number, figure) in new[] { (1, 5.0), (2, 3.0), (3, 4.0) })
        {
            await server.UploadAsync("tiny", RegistryServer.SmallModel(number));
            await server.Api.SetMetricsAsync("tiny", $"{number}", new() { ["perplexity"] = figure });
        }
        Order(await server.Client.GetStringAsync("/models/tiny?sort=perplexity")).ShouldBe(["2", "3", "1"]);
        var falling = await server.Client.GetStringAsync("/models/tiny?sort=-perplexity");
        Order(falling).ShouldBe(["1", "3", "2"]);
        falling.ShouldContain("aria-sort=\"descending\"");
        Order(await server.Client.GetStringAsync("/models/tiny")).ShouldBe(["3", "2", "1"]);

        static IEnumerable<string> Order(string page) => Boxes().Matches(page).Select(box => box.Groups[1].Value);
    }

    [Fact]
    public async Task What_strangers_write_stays_text_and_pages_hold_no_script_of_their_own()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var files = RegistryServer.SmallModel();
        files["README.md"] = Encoding.UTF8.GetBytes($"---\na: {Hostile}\n---\n# {Hostile}\n\n{Hostile} [x](javascript:alert(1))\n");
        files["config.json"] = Encoding.UTF8.GetBytes($$"""{"model_type": "{{Hostile.Replace("\"", "\\\"")}}", "hidden_size": 1, "vocab_size": 2}""");
        await server.UploadAsync("tiny", files);
        await PostAsync(server, "/models/tiny/description", ("description", Hostile));
        await PostAsync(server, "/models/tiny/versions/1/tags", ("key", "k"), ("value", Hostile));
        var id = await StartAsync(server, Hostile);
        await server.EndOfAsync(id);
        await server.Api.SetWebhookAsync("hook", new WebhookChange($"http://example.com/{Hostile}", ["alias.moved"]));
        string[] pages =
        [
            "/", $"/?q={Uri.EscapeDataString(Hostile)}", "/models/tiny", "/models/tiny/versions/1", "/models/tiny/versions/2", "/models/tiny/versions/1/view/README.md",
            "/models/tiny/compare?v=1&v=2", "/pipelines", $"/pipelines/{id}", "/policies", "/interface", "/webhooks", $"/search?q={Uri.EscapeDataString(Hostile)}&sort=-kl",
            $"/models/{Uri.EscapeDataString(Hostile)}", $"/pipelines?state={Uri.EscapeDataString(Hostile)}",
        ];
        foreach (var address in pages)
        {
            var answer = await AskAsync(server, address);
            var html = await answer.Content.ReadAsStringAsync();
            answer.Content.Headers.ContentType!.MediaType.ShouldBe("text/html", address);
            answer.Headers.GetValues("Content-Security-Policy").Single().ShouldContain("default-src 'none'");
            answer.Headers.GetValues("X-Content-Type-Options").Single().ShouldBe("nosniff");
            html.ShouldNotContain("<script>", Case.Insensitive, address);
            Attributes().Matches(html).ShouldBeEmpty(address);
            html.ShouldNotContain("href=\"javascript", Case.Insensitive, address);
            Headings().Matches(html).Count.ShouldBe(1, address);
            html.ShouldContain("<html lang=\"en\">");
            foreach (Match input in Inputs().Matches(html))
            {
                var isNamed = input.Value.Contains("aria-label=") || input.Value.Contains("type=\"hidden\"")
                    || html.Contains($"<label for=\"{Ids().Match(input.Value).Groups[1].Value}\"");
                isNamed.ShouldBeTrue($"{address}: {input.Value} has no label");
            }
        }
    }

    [Theory]
    [InlineData("/nothing", HttpStatusCode.NotFound, "there is nothing at this address")]
    [InlineData("/models/none", HttpStatusCode.NotFound, "there is no model none")]
    [InlineData("/pipelines/01a2190b-4bed-754b-a4a6-5b09073c2fe1", HttpStatusCode.NotFound, "there is no pipeline")]
    [InlineData("/search?metric=kl", HttpStatusCode.BadRequest, "expected a metric")]
    [InlineData("/models/none/compare?v=x", HttpStatusCode.BadRequest, "")]
    public async Task Errors_are_pages_for_browsers_and_problems_for_programs(string address, HttpStatusCode status, string said)
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var page = await AskAsync(server, address);
        page.StatusCode.ShouldBe(status);
        page.Content.Headers.ContentType!.MediaType.ShouldBe("text/html");
        (await page.Content.ReadAsStringAsync()).ShouldContain(said);
        var problem = await server.Client.GetAsync(address);
        problem.StatusCode.ShouldBe(status);
        problem.Content.Headers.ContentType!.MediaType.ShouldBe("application/problem+json");
        (await AskAsync(server, "/api/models/none")).Content.Headers.ContentType!.MediaType.ShouldBe("application/problem+json");
    }

    [Fact]
    public async Task Assets_are_kept_by_browsers_and_change_their_address_with_their_content()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var addresses = Sources().Matches(await server.Client.GetStringAsync("/")).Select(match => match.Groups[1].Value).ToList();
        addresses.Count.ShouldBeGreaterThanOrEqualTo(3);
        foreach (var address in addresses)
        {
            var answer = await server.Client.GetAsync(address);
            answer.StatusCode.ShouldBe(HttpStatusCode.OK);
            answer.Headers.CacheControl!.ToString().ShouldContain("immutable");
            address.ShouldContain("?");
        }
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

    [Theory]
    [InlineData("elsewhere.example", HttpStatusCode.BadRequest)]
    [InlineData("localhost", HttpStatusCode.OK)]
    public async Task A_name_of_another_site_that_points_here_is_refused(string host, HttpStatusCode expected)
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var request = new HttpRequestMessage(HttpMethod.Get, "/");
        request.Headers.Host = host;
        (await server.Client.SendAsync(request)).StatusCode.ShouldBe(expected);
    }

    public void Dispose() => _folder.Dispose();

    private static async Task<Guid> QuantizedAsync(RegistryServer server)
    {
        await server.UploadAsync("tiny");
        var id = await StartAsync(server);
        (await server.EndOfAsync(id)).State.ShouldBe(PipelineState.Succeeded);
        return id;
    }

    private static Task<Guid> StartAsync(RegistryServer server, string name = "three") => server.StartAsync("""{"decomposition":{"bases":3}}""", name: name);

    private static Task<HttpResponseMessage> AskAsync(RegistryServer server, string address)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, address);
        request.Headers.Add("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        return server.Client.SendAsync(request);
    }

    /// <summary>Sends a form as a browser does, without going where the answer points.</summary>
    private static async Task<HttpResponseMessage> PostAsync(RegistryServer server, string address, params (string Key, string Value)[] fields)
    {
        using var client = new HttpClient(new HttpClientHandler { AllowAutoRedirect = false }) { BaseAddress = server.Client.BaseAddress };
        client.DefaultRequestHeaders.Add("Sec-Fetch-Site", "same-origin");
        return await client.PostAsync(address, new FormUrlEncodedContent(fields.Select(field => KeyValuePair.Create(field.Key, field.Value))));
    }

    [GeneratedRegex("""<option value="([0-9a-f]{64})">""")]
    private static partial Regex Option();

    [GeneratedRegex("""<input type="checkbox" form="compare" name="v" value="(\d+)" """)]
    private static partial Regex Boxes();

    // A tag with an attribute that runs something, or that styles in place.
    [GeneratedRegex("""<[a-zA-Z0-9]+(?:\s+[\w-]+(?:="[^"]*")?)*?\s+(?:on\w+|style)=""")]
    private static partial Regex Attributes();

    [GeneratedRegex("<h1[ >]")]
    private static partial Regex Headings();

    [GeneratedRegex("<(?:input|select|textarea)[^>]*>")]
    private static partial Regex Inputs();

    [GeneratedRegex(" id=\"([^\"]+)\"")]
    private static partial Regex Ids();

    [GeneratedRegex("(?:src|href)=\"(/assets/[^\"]+)\"")]
    private static partial Regex Sources();
}
