using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Qbb.Contracts;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

/// <summary>The OpenAPI document leaves nothing unsaid, refusals have a reason, and the reference of the API comes from this server alone.</summary>
public sealed partial class ApiDocumentTests(ApiDocumentTests.Server server) : IClassFixture<ApiDocumentTests.Server>
{
    public sealed class Server : IAsyncLifetime
    {
        private readonly TemporaryFolder _folder = new();
        private RegistryServer? _server;

        internal RegistryServer Registry => _server!;

        internal JsonObject Document { get; private set; } = [];

        public async ValueTask InitializeAsync()
        {
            _server = await RegistryServer.StartAsync(_folder, null, "--Registry:CollectKey=a-key-of-the-tests-own");
            Document = (await _server.Client.GetFromJsonAsync<JsonObject>("/openapi/v1.json"))!;
        }

        public async ValueTask DisposeAsync()
        {
            await Registry.DisposeAsync();
            _folder.Dispose();
        }
    }

    private IEnumerable<(string Name, JsonObject Operation)> Operations =>
        from path in server.Document["paths"]!.AsObject()
        from operation in path.Value!.AsObject()
        select ($"{operation.Key.ToUpperInvariant()} {path.Key}", operation.Value!.AsObject());

    [Fact]
    public void Every_route_of_the_API_is_in_the_document()
    {
        var known = Operations.Select(operation => operation.Name).ToList();
        var mapped = server.Registry.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
            .Where(endpoint => endpoint.RoutePattern.RawText!.StartsWith("/api/", StringComparison.Ordinal) && !endpoint.RoutePattern.RawText.StartsWith("/api/2.0/", StringComparison.Ordinal))
            .SelectMany(endpoint => endpoint.Metadata.GetMetadata<HttpMethodMetadata>()!.HttpMethods
                .Select(method => $"{method} {Constraint().Replace(endpoint.RoutePattern.RawText!, "").Replace("**", "", StringComparison.Ordinal).TrimEnd('/')}")).ToList();
        mapped.Count.ShouldBeGreaterThan(40);
        known.Order().ShouldBe(mapped.Distinct().Order());
    }

    [Fact]
    public void Every_route_parameter_and_property_is_described_and_has_an_example()
    {
        var missing = new List<string>();
        foreach (var (name, operation) in Operations)
        {
            Need(operation, "summary", name);
            foreach (var parameter in operation["parameters"]?.AsArray() ?? [])
            {
                Need(parameter!, "description", $"{name} {parameter!["name"]}");
                Need(parameter!, "example", $"{name} {parameter!["name"]}");
            }
            foreach (var (type, content) in operation["requestBody"]?["content"]?.AsObject() ?? [])
            {
                if (type != "application/octet-stream")
                    Need(content!, "example", $"{name} body");
            }
            foreach (var (status, response) in operation["responses"]!.AsObject())
            {
                Need(response!, "description", $"{name} {status}");
                foreach (var (type, content) in response!["content"]?.AsObject() ?? [])
                {
                    if (type != "application/octet-stream")
                        Need(content!, "example", $"{name} {status} {type}");
                }
            }
            var errors = operation["responses"]!.AsObject().Where(response => response.Key[0] is '4' or '5').ToList();
            errors.Select(error => error.Key).ShouldContain("503", name);
            if (name.Contains('{') && !name.StartsWith("PUT /api/policies", StringComparison.Ordinal) && !name.StartsWith("PUT /api/blobs", StringComparison.Ordinal) && !name.StartsWith("POST /api/models/{name}/versions", StringComparison.Ordinal))
                errors.Select(error => error.Key).ShouldContain("404", name);
            foreach (var (status, error) in errors)
                error!["content"]!["application/problem+json"]!["example"]!["detail"]!.GetValue<string>().ShouldNotBeEmpty($"{name} {status}");
        }
        var schemas = server.Document["components"]!["schemas"]!.AsObject();
        var properties = 0;
        foreach (var (name, schema) in schemas)
        {
            Need(schema!, "description", name);
            name.ShouldNotStartWith("Sse");
            foreach (var (member, property) in schema!["properties"]?.AsObject() ?? [])
            {
                properties++;
                Need(property!, "description", $"{name}.{member}");
            }
        }
        properties.ShouldBeGreaterThan(100);
        missing.ShouldBeEmpty();

        void Need(JsonNode node, string what, string where)
        {
            if (node[what] is not { } found || found is JsonValue text && text.TryGetValue<string>(out var value) && value.Trim().Length < 2)
                missing.Add($"{where} has no {what}");
        }
    }

    /// <summary>The records that the API takes and gives.</summary>
    public static TheoryData<Type> Records =>
    [
        .. typeof(ModelView).Assembly.GetExportedTypes().Where(type => type.Namespace == typeof(ModelView).Namespace && type.GetMethod("<Clone>$") is not null && !type.IsGenericType)
            .Where(type => type != typeof(SearchQuery) && type != typeof(RetryOptions)),
    ];

    [Theory]
    [MemberData(nameof(Records))]
    public void Examples_are_whole_and_can_be_read(Type type)
    {
        var schema = server.Document["components"]!["schemas"]![type.Name].ShouldNotBeNull($"{type.Name} is in no route, or its schema has another name");
        var example = schema["examples"].ShouldNotBeNull()[0]!.AsObject();
        example.Select(member => member.Key).Order().ShouldBe(schema["properties"]!.AsObject().Select(member => member.Key).Order());
        var read = JsonSerializer.Deserialize(example.ToJsonString(), type, Wire.Json);
        JsonNode.DeepEquals(JsonSerializer.SerializeToNode(read, type, Wire.Json), example).ShouldBeTrue($"{JsonSerializer.Serialize(read, type, Wire.Json)}\n{example}");
    }

    /// <summary>A refusal of every kind, and what its detail has.</summary>
    public static TheoryData<int, string, string, string?> Refusals => new()
    {
        { 400, "GET /api/models?limit=0", "limit is 0", null },
        { 400, "GET /api/models?limit=many", "limit", null },
        { 400, "GET /api/search?metric=foo", "invalid condition 'foo'", null },
        { 400, "POST /api/pipelines", "invalid JSON", "{" },
        { 400, "POST /api/pipelines", "body", "" },
        { 400, "PUT /api/blobs/xyz Content-Type: application/octet-stream", "64 lower-case hexadecimal digits", "bytes" },
        { 400, "PUT /api/models/tiny/gate", "unknown member", """{"most":1}""" },
        { 400, "GET /api/models Host: elsewhere.example", "the host name elsewhere.example is not accepted: allow it with the setting AllowedHosts", null },
        { 401, "POST /api/collect", "Registry:CollectKey", "" },
        { 403, "POST /api/collect Authorization: Bearer other", "the key is not", "" },
        { 403, "DELETE /api/models/tiny Origin: http://elsewhere", "page of another site", null },
        { 404, "GET /api/models/none", "there is no model none", null },
        { 404, "GET /api/pipelines/not-an-id", "", null },
        { 404, "GET /api/nothing/like/it", "", null },
        { 404, "GET /api/models/tiny/versions/1/files/none", "no file none", null },
        { 405, "PATCH /api/search", "", "" },
        { 409, "DELETE /api/models/tiny/versions/1", "move or remove the alias first", null },
        { 409, "POST /api/mlflow/imports", "Mlflow:TrackingUri", """{"name":"llama","version":"1"}""" },
        { 412, "PATCH /api/models/tiny If-Match: \"other\"", "changed meanwhile", """{"description":"x"}""" },
        { 415, "POST /api/pipelines Content-Type: text/plain", "", "text" },
        { 416, "GET /api/models/tiny/versions/1/files/config.json Range: bytes=1000-", "", null },
        { 422, "PUT /api/policies/p", "the policy cannot be used", """{"models":"*","recipes":[]}""" },
    };

    [Theory]
    [MemberData(nameof(Refusals))]
    public async Task Every_refusal_has_a_detail(int status, string request, string detail, string? body)
    {
        if ((await server.Registry.Client.GetAsync("/api/models/tiny")).StatusCode == HttpStatusCode.NotFound)
        {
            await server.Registry.UploadAsync("tiny");
            await server.Registry.Api.SetAliasAsync("tiny", "held", new AliasChange(1));
        }
        var parts = request.Split(' ', 3);
        using var message = new HttpRequestMessage(HttpMethod.Parse(parts[0]), parts[1]);
        var header = parts.ElementAtOrDefault(2)?.Split(": ", 2);
        if (body is not null)
            message.Content = new StringContent(body, Encoding.UTF8, MediaTypeHeaderValue.Parse(header?[0] == "Content-Type" ? header[1] : "application/json"));
        if (header is ["Host", var host])
            message.Headers.Host = host;
        else if (header is not null and not ["Content-Type", _])
            message.Headers.TryAddWithoutValidation(header[0], header[1]).ShouldBeTrue();
        using var answer = await server.Registry.Client.SendAsync(message);
        var text = await answer.Content.ReadAsStringAsync();
        ((int)answer.StatusCode).ShouldBe(status, text);
        answer.Content.Headers.ContentType?.MediaType.ShouldBe("application/problem+json");
        var said = JsonNode.Parse(text)!["detail"]?.GetValue<string>();
        said.ShouldNotBeNullOrWhiteSpace(text);
        said.ShouldContain(detail);
        said.ShouldNotContain("Microsoft");
        said.ShouldNotContain("Qbb.");
    }

    [Fact]
    public async Task The_reference_comes_from_this_server_alone()
    {
        var page = await server.Registry.Client.GetAsync("/docs/");
        page.StatusCode.ShouldBe(HttpStatusCode.OK);
        var html = await page.Content.ReadAsStringAsync();
        TestContext.Current.TestOutputHelper?.WriteLine(html);
        Addresses().Matches(html).Select(match => match.Groups[1].Value).Where(address => address.Contains("//", StringComparison.Ordinal)).ShouldBeEmpty();
        html.ShouldNotContain("cdn", Case.Insensitive);
        var policy = page.Headers.GetValues("Content-Security-Policy").Single();
        policy.ShouldContain("default-src 'none'");
        policy.ShouldContain("connect-src 'self'");
        var nonce = Nonce().Match(policy).Groups[1].Value;
        nonce.Length.ShouldBeGreaterThan(15);
        Scripts().Matches(html).Count.ShouldBeGreaterThan(0);
        Scripts().Matches(html).ShouldAllBe(script => script.Value.Contains($"nonce=\"{nonce}\""), "no other script runs");
        foreach (Match script in Sources().Matches(html))
            (await server.Registry.Client.GetAsync(new Uri(new Uri(server.Registry.Client.BaseAddress!, "/docs/"), script.Groups[1].Value))).StatusCode.ShouldBe(HttpStatusCode.OK, script.Value);
        (await server.Registry.Client.GetAsync("/docs/")).Headers.GetValues("Content-Security-Policy").Single().ShouldNotContain(nonce, Case.Sensitive);

        var other = await server.Registry.Client.GetAsync("/");
        (await other.Content.ReadAsStringAsync()).ShouldContain("""<a href="/docs">""");
        other.Headers.GetValues("Content-Security-Policy").Single().ShouldNotContain("unsafe-inline");
    }

    [GeneratedRegex(@":[a-z]+(?=\})")]
    private static partial Regex Constraint();

    [GeneratedRegex(@"(?:src|href)=""([^""]*)""")]
    private static partial Regex Addresses();

    [GeneratedRegex(@"'nonce-([^']+)'")]
    private static partial Regex Nonce();

    [GeneratedRegex(@"<script[^>]*>")]
    private static partial Regex Scripts();

    [GeneratedRegex(@"<script[^>]*src=""([^""]*)""")]
    private static partial Regex Sources();
}
