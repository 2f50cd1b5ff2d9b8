using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Tests;

namespace Qbb.Api.Tests;

/// <summary>What the client sends, and what becomes of the answers.</summary>
public sealed class RegistryApiTests
{
    private static readonly Guid s_id = Guid.Parse("01a2190b-4bed-754b-a4a6-5b09073c2fe1");
    private static readonly Digest s_digest = Digest.Of("something");

    public static TheoryData<string, Func<IRegistryApi, Task>> Calls => new()
    {
        { "GET /api/models", api => api.ListModelsAsync() },
        { "GET /api/models?q=a%20b%26c&after=x&limit=2", api => api.ListModelsAsync("a b&c", "x", 2) },
        { $"GET /api/pipelines?model=tiny&state=cancelled&after={s_id}",
            api => api.ListPipelinesAsync("tiny", PipelineState.Cancelled, s_id) },
        { "GET /api/search?kind=upload&tag=team%3Ared&tag=a%2Cb&metric=kl%3C%3D0.2&metric=kl%3E0.1&sort=-kl&limit=3",
            api => api.SearchAsync(new(Kind: VersionKind.Upload, Tag: ["team:red", "a,b"], Metric: ["kl<=0.2", "kl>0.1"], Sort: "-kl", Limit: 3)) },
        { "GET /api/search", api => api.SearchAsync(new()) },
        { "GET /api/collect", api => api.GetCollectionAsync() },
        { "POST /api/collect?dryRun=true&deletedDays=0.5&graceMinutes=0", api => api.CollectAsync(true, 0.5, graceMinutes: 0) },
        { "GET /api/models/a%20b%2Fc/versions/champion", api => api.GetVersionAsync("a b/c", "champion") },
        { "GET /api/models/tiny/versions/1/files/onnx/a%20b%23%3F%25.json", api => api.GetFileAsync("tiny", "1", "onnx/a b#?%.json") },
        { $"HEAD /api/blobs/{s_digest}", api => api.FindBlobAsync(s_digest) },
        { $"PUT /api/blobs/{s_digest}", api => api.PutBlobAsync(s_digest, new ByteArrayContent([1])) },
        { $"POST /api/blobs/{s_digest}/keep", api => api.KeepBlobAsync(s_digest) },
        { $"POST /api/pipelines/{s_id}/cancel", api => api.CancelPipelineAsync(s_id) },
        { $"DELETE /api/pipelines/{s_id}", api => api.RemovePipelineAsync(s_id) },
    };

    [Theory]
    [MemberData(nameof(Calls))]
    public async Task Addresses_are_what_the_registry_reads(string expected, Func<IRegistryApi, Task> call)
    {
        foreach (var path in new[] { "", "/behind/a/proxy" })
        {
            var handler = new Handler(_ => new HttpResponseMessage(HttpStatusCode.NotFound));
            using var api = RegistryApi.Connect(new Uri($"http://registry{path}/"), handler: handler);
            await Should.ThrowAsync<RegistryRefusedException>(() => call(api));
            handler.Sent.ShouldBe([expected.Replace(" /", $" {path}/", StringComparison.Ordinal)]);
        }
    }

    [Fact]
    public async Task Bodies_are_json_and_keys_are_headers()
    {
        string? body = null, key = null;
        var handler = new Handler(async request =>
        {
            (body, key) = (await request.Content!.ReadAsStringAsync(), request.Headers.GetValues("Idempotency-Key").Single());
            return Json("""{"model":"tiny","version":1,"manifest":"m","pipelines":["01a2190b-4bed-754b-a4a6-5b09073c2fe1"]}""");
        });
        using var api = RegistryApi.Connect(new Uri("http://registry"), handler: handler);
        var uploaded = await api.CreateVersionAsync("tiny", new VersionRequest([new FileEntry("config.json", s_digest, 2)], Quantize: false), "key-1");
        JsonNode.DeepEquals(JsonNode.Parse(body!), JsonNode.Parse($$"""
            {"files":[{"name":"config.json","digest":"{{s_digest}}","size":2}],"tags":null,"quantize":false}
            """)).ShouldBeTrue(body);
        key.ShouldBe("key-1");
        uploaded.Pipelines.ShouldBe([s_id]);
    }

    /// <summary>One of each kind that Refit sends in its own way.</summary>
    public static TheoryData<Func<IRegistryApi, Task>> Kinds => new()
    {
        api => api.GetModelAsync("tiny"),
        api => api.DeleteModelAsync("tiny"),
        api => api.GetFileAsync("tiny", "1", "config.json"),
        api => api.WatchPipelineAsync(s_id).ToListAsync().AsTask(),
        api => api.PutBlobAsync(s_digest, new ByteArrayContent([1])),
    };

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task A_refusal_is_the_registrys_own_words(Func<IRegistryApi, Task> call)
    {
        using var api = RegistryApi.Connect(new Uri("http://registry"), handler: new Handler(_ => Json(
            """{"title":"Conflict","detail":"2 are wrong: first","errors":["first","second"]}""", HttpStatusCode.Conflict)));
        var refused = await Should.ThrowAsync<RegistryRefusedException>(() => call(api));
        (refused.Status, refused.Message).ShouldBe((HttpStatusCode.Conflict, "2 are wrong: first: second"));
        refused.Errors.ShouldBe(["first", "second"]);
    }

    [Theory]
    [InlineData("<html>bad gateway</html>", "the registry answered 502 to http://registry/api/models/tiny")]
    [InlineData("", "the registry answered 502 to http://registry/api/models/tiny")]
    [InlineData("[1]", "the registry answered 502 to http://registry/api/models/tiny")]
    [InlineData("""{"title":"Bad Gateway","errors":{"a":["b"]}}""", "Bad Gateway")]
    public async Task A_refusal_by_something_else_names_the_status(string text, string message)
    {
        using var api = RegistryApi.Connect(new Uri("http://registry"), RetryOptions.None, new Handler(_ => Json(text, HttpStatusCode.BadGateway)));
        (await Should.ThrowAsync<RegistryRefusedException>(() => api.GetModelAsync("tiny"))).Message.ShouldBe(message);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task Nobody_at_the_address_is_told_with_the_remedy(Func<IRegistryApi, Task> call)
    {
        var address = new Uri($"http://127.0.0.1:{FreePort.Next()}");
        using var api = RegistryApi.Connect(address);
        var message = (await Should.ThrowAsync<RegistryAwayException>(() => call(api))).Message;
        message.ShouldStartWith($"no registry answers at {address} (Connection refused");
        message.ShouldContain("qbb up");
        message.ShouldContain("--url");
    }

    [Theory]
    [InlineData("<html></html>", "text/html")]
    [InlineData("<html></html>", "application/json")]
    [InlineData("{}", "application/json")]
    [InlineData("[]", "application/json")]
    [InlineData("", "application/json")]
    public async Task Something_else_at_the_address_is_told_with_the_remedy(string answer, string type)
    {
        using var api = RegistryApi.Connect(
            new Uri("http://registry"), handler: new Handler(_ => new HttpResponseMessage { Content = new StringContent(answer, Encoding.UTF8, type) }));
        var message = (await Should.ThrowAsync<RegistryAwayException>(() => api.GetModelAsync("tiny"))).Message;
        message.ShouldBe("the server at http://registry/ is not a qbb registry: give the address of one with --url");
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task Cancelling_is_cancelling(Func<IRegistryApi, Task> call)
    {
        using var api = RegistryApi.Connect(new Uri("http://registry"), handler: new Handler(_ => Task.FromException<HttpResponseMessage>(new TaskCanceledException())));
        await Should.ThrowAsync<OperationCanceledException>(() => call(api));
    }

    [Fact]
    public async Task What_is_not_in_the_store_is_no_error()
    {
        var status = HttpStatusCode.NotFound;
        using var api = RegistryApi.Connect(new Uri("http://registry"), handler: new Handler(_ => new HttpResponseMessage(status)));
        (await api.HasBlobAsync(s_digest)).ShouldBeFalse();
        status = HttpStatusCode.OK;
        (await api.HasBlobAsync(s_digest)).ShouldBeTrue();
        status = HttpStatusCode.BadRequest;
        await Should.ThrowAsync<RegistryRefusedException>(() => api.HasBlobAsync(s_digest));
    }

    [Fact]
    public async Task Files_stream_both_ways()
    {
        var pipe = new System.IO.Pipelines.Pipe();
        var bytes = new StreamContent(pipe.Reader.AsStream()) { Headers = { ContentType = new("application/octet-stream") } };
        using var api = RegistryApi.Connect(new Uri("http://registry"), handler: new Handler(_ => new HttpResponseMessage { Content = bytes }));
        // Nothing of the answer is there yet.
        await using var file = await api.GetFileAsync("tiny", "1", "model.safetensors").WaitAsync(TimeSpan.FromSeconds(30));
        await pipe.Writer.WriteAsync("first"u8.ToArray());
        var buffer = new byte[100];
        Encoding.UTF8.GetString(buffer, 0, await file.ReadAsync(buffer)).ShouldBe("first");

        var content = new Unread();
        using var other = RegistryApi.Connect(new Uri("http://registry"), handler: new Handler(_ => new HttpResponseMessage(HttpStatusCode.Created)));
        await other.PutBlobAsync(s_digest, new StreamContent(content));
        content.Reads.ShouldBe(0, "only what is sent is read");
    }

    [Fact]
    public async Task Events_are_pipelines()
    {
        var pipeline = JsonSerializer.Serialize(new PipelineView(
            s_id, "tiny", 1, "r", null, PipelineState.Queued, null, Stage.Distil, [], 1, 2, 0.5, null, null, DateTimeOffset.UnixEpoch, null, null, null, null), Wire.Json);
        var events = string.Concat(new[] { "queued", "running", "succeeded" }.Select(state =>
            $"event: pipeline\ndata: {pipeline.Replace("queued", state, StringComparison.Ordinal)}\n\n"));
        using var api = RegistryApi.Connect(new Uri("http://registry"), handler: new Handler(_ => new HttpResponseMessage
        {
            Content = new StringContent(events, Encoding.UTF8, "text/event-stream"),
        }));
        (await api.WatchPipelineAsync(s_id).Select(state => state.State).ToListAsync())
            .ShouldBe([PipelineState.Queued, PipelineState.Running, PipelineState.Succeeded]);
    }

    private static HttpResponseMessage Json(string text, HttpStatusCode status = HttpStatusCode.OK) =>
        new(status) { Content = new StringContent(text, Encoding.UTF8, "application/json") };

    private sealed class Handler(Func<HttpRequestMessage, Task<HttpResponseMessage>> answer) : HttpMessageHandler
    {
        public Handler(Func<HttpRequestMessage, HttpResponseMessage> answer) : this(request => Task.FromResult(answer(request)))
        {
        }

        public List<string> Sent { get; } = [];

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            Sent.Add($"{request.Method} {request.RequestUri!.PathAndQuery}");
            var response = await answer(request);
            response.RequestMessage = request;
            return response;
        }
    }

    private sealed class Unread : MemoryStream
    {
        public int Reads { get; private set; }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            Reads++;
            return base.ReadAsync(buffer, cancellationToken);
        }

        public override int Read(byte[] buffer, int offset, int count)
        {
            Reads++;
            return base.Read(buffer, offset, count);
        }
    }
}
