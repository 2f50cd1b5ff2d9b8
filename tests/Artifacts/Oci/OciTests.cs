using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using Qbb.Artifacts.Oci;
using Qbb.Tests;

namespace Qbb.Artifacts.Tests.Oci;

/// <summary>Models as OCI artifacts, in Debian's docker-registry and against servers that do what it does not.</summary>
public sealed class OciTests : IDisposable
{
    private static readonly PackedModel s_model = new("Tiny", "2", new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero), new JsonObject { ["model_type"] = "llama", ["quantization_config"] = new JsonObject { ["quant_method"] = "qbb" } });
    private readonly TemporaryFolder _folder = new();
    private readonly Dictionary<string, byte[]> _files = new()
    {
        ["config.json"] = "{}"u8.ToArray(),
        ["model.safetensors"] = [.. Enumerable.Range(0, 3_000_000).Select(i => (byte)(i * 7))],
        ["sub/tokenizer.json"] = "{\"a\":1}"u8.ToArray(),
        ["README.md"] = "# Tiny"u8.ToArray(),
        // The same bytes twice are one blob.
        ["copy.json"] = "{}"u8.ToArray(),
    };

    [Theory]
    [InlineData("oci://registry.example.com/team/tiny:v1", "registry.example.com", "team/tiny", "v1")]
    [InlineData("oci://127.0.0.1:5000/tiny:2", "127.0.0.1:5000", "tiny", "2")]
    [InlineData("oci://[::1]:5000/a/b/c:x.y-z_1", "[::1]:5000", "a/b/c", "x.y-z_1")]
    public void References_are_read_and_written(string text, string host, string name, string tag)
    {
        OciReference.Parse(text).ShouldBe(new OciReference(host, name, tag));
        $"{OciReference.Parse(text)}".ShouldBe(text);
        var digest = $"sha256:{Digest.Of("a")}";
        $"{OciReference.Parse($"oci://h/n@{digest}")}".ShouldBe($"oci://h/n@{digest}");
        foreach (var wrong in new[] { "oci://h/Name:1", "oci://h/n", "oci:/h/n:1", "oci://h/../n:1", "oci://h/n:", "oci://h/n@sha256:1", "oci://user@h/n:1", "oci://h/n:1?x" })
            Should.Throw<InvalidInputException>(() => OciReference.Parse(wrong)).Message.ShouldContain("write oci://HOST/NAME:TAG");
    }

    [Fact]
    public void A_model_is_an_artifact_of_the_ModelPack_specification()
    {
        var pack = ModelPack.Of(s_model, Packed());
        var manifest = JsonNode.Parse(pack.ManifestJson.Span)!;
        ((int?)manifest["schemaVersion"], (string?)manifest["mediaType"], (string?)manifest["artifactType"]).ShouldBe(
            (2, "application/vnd.oci.image.manifest.v1+json", "application/vnd.cncf.model.manifest.v1+json"));
        ((string?)manifest["config"]!["mediaType"], (string?)manifest["config"]!["digest"], (int?)manifest["config"]!["size"]).ShouldBe(
            ("application/vnd.cncf.model.config.v1+json", $"sha256:{Digest.Of(pack.ConfigJson.Span)}", pack.ConfigJson.Length));
        manifest["layers"]!.AsArray().Select(layer => ((string?)layer!["annotations"]!["org.cncf.model.filepath"], (string?)layer["mediaType"])).ShouldBe(
        [
            ("README.md", "application/vnd.cncf.model.doc.v1.raw"), ("config.json", "application/vnd.cncf.model.weight.config.v1.raw"), ("copy.json", "application/vnd.cncf.model.weight.config.v1.raw"),
            ("model.safetensors", "application/vnd.cncf.model.weight.v1.raw"), ("sub/tokenizer.json", "application/vnd.cncf.model.weight.config.v1.raw"),
        ]);
        var config = JsonNode.Parse(pack.ConfigJson.Span)!;
        config["descriptor"]!.ToJsonString().ShouldBe("""{"createdAt":"2026-01-02T03:04:05.0000000\u002B00:00","family":"llama","name":"Tiny","version":"2"}""");
        config["config"]!.ToJsonString().ShouldBe("""{"architecture":"transformer","format":"safetensors","quantization":"qbb"}""");
        config["modelfs"]!["diffIds"]!.AsArray().Select(id => (string?)id).ShouldBe(manifest["layers"]!.AsArray().Select(layer => (string?)layer!["digest"]));
        // The same files in another order are the same artifact.
        ModelPack.Of(s_model, [.. Packed().Reverse()]).ManifestJson.ToArray().ShouldBe(pack.ManifestJson.ToArray());
        ModelPack.FilesOf(pack.ManifestJson.Span, "it").ShouldBe(Packed(), ignoreOrder: true);
    }

    [Theory]
    [InlineData("""{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json"},"layers":[]}""", "is not a model (its type is application/vnd.oci.image.config.v1+json)")]
    [InlineData("""{"artifactType":"application/vnd.cncf.model.manifest.v1+json","layers":[]}""", "has no files")]
    [InlineData("""{"artifactType":"application/vnd.cncf.model.manifest.v1+json","layers":[{"mediaType":"application/vnd.cncf.model.weight.v1.tar"}]}""", "only files as they are (.raw) can be read")]
    [InlineData("""{"artifactType":"application/vnd.cncf.model.manifest.v1+json","layers":[{"mediaType":"x.raw","size":1,"digest":"sha256:a","annotations":{"org.cncf.model.filepath":"../a"}}]}""", "../a")]
    [InlineData("""{"artifactType":"application/vnd.cncf.model.manifest.v1+json","layers":[{"mediaType":"x.raw","size":1,"digest":"sha512:a","annotations":{"org.cncf.model.filepath":"a"}}]}""", "only sha256")]
    [InlineData("""{"artifactType":"application/vnd.cncf.model.manifest.v1+json","layers":[{"mediaType":"x.raw","size":1}]}""", "without the annotation")]
    [InlineData("""{"artifactType":"application/vnd.cncf.model.manifest.v1+json"}""", "cannot be read")]
    [InlineData("nonsense", "cannot be read")]
    public void Manifests_that_cannot_be_used_are_refused_by_name(string manifest, string said) =>
        Should.Throw<InvalidInputException>(() => ModelPack.FilesOf(Encoding.UTF8.GetBytes(manifest), "oci://h/n:1")).Message.ShouldSatisfyAllConditions(
            message => message.ShouldStartWith("oci://h/n:1 "), message => message.ShouldContain(said));

    [Fact]
    public async Task A_model_goes_there_and_comes_back_and_nothing_is_sent_twice()
    {
        await using var registry = await DockerRegistry.StartAsync();
        var target = OciReference.Parse($"oci://{registry.Host}/team/tiny:v1");
        using var client = new OciClient(target, null);
        var (manifest, sent) = await PushAsync(client, "v1");
        sent.ShouldBe(4);
        (await PushAsync(client, "v2")).ShouldBe((manifest, 0));
        (await PullAsync(client, target, "pulled")).ShouldBe(manifest);
        foreach (var (name, content) in _files)
            (await File.ReadAllBytesAsync(Path.Combine(_folder.File("pulled"), name))).ShouldBe(content);
        (await client.GetManifestAsync($"sha256:{manifest}", default)).Digest.ShouldBe(manifest);
        (await Should.ThrowAsync<OciException>(() => client.GetManifestAsync("none", default))).Message.ShouldContain("MANIFEST_UNKNOWN");

        var weights = Digest.Of(_files["model.safetensors"]);
        var bytes = await File.ReadAllBytesAsync(registry.PathOf(weights.Value));
        bytes[1234567] ^= 16;
        await File.WriteAllBytesAsync(registry.PathOf(weights.Value), bytes);
        (await Should.ThrowAsync<OciException>(() => PullAsync(client, target, "damaged"))).Message.ShouldContain($"other bytes than those of sha256:{weights}");
        File.Exists(Path.Combine(_folder.File("damaged"), "model.safetensors")).ShouldBeFalse();
    }

    [Fact]
    public async Task A_password_is_told_when_the_registry_wants_it()
    {
        await using var registry = await DockerRegistry.StartAsync(withPassword: true);
        var target = OciReference.Parse($"oci://{registry.Host}/tiny:v1");
        using var nobody = new OciClient(target, null);
        (await Should.ThrowAsync<OciException>(() => PushAsync(nobody, "v1"))).Message.ShouldContain("it wants credentials");
        using var wrong = new OciClient(target, new OciCredentials(DockerRegistry.User, "wrong"));
        (await Should.ThrowAsync<OciException>(() => PushAsync(wrong, "v1"))).Message.ShouldContain("ci may not");
        using var right = new OciClient(target, new OciCredentials(DockerRegistry.User, DockerRegistry.Password));
        (await PushAsync(right, "v1")).Sent.ShouldBe(4);
    }

    [Fact]
    public async Task A_transfer_that_breaks_off_goes_on_where_it_was()
    {
        await using var registry = await DockerRegistry.StartAsync();
        var target = OciReference.Parse($"oci://{registry.Host}/tiny:v1");
        using (var client = new OciClient(target, null))
            await PushAsync(client, "v1");
        // Of every answer only so much arrives.
        using var network = new Cable(1_000_000);
        using var broken = new OciClient(target, null, clock: new Impatient(), handler: network);
        await PullAsync(broken, target, "pulled");
        network.Ranges.ShouldBe(["bytes=1000000-", "bytes=2000000-"]);

        // A later process goes on with the file that an earlier one left.
        Directory.CreateDirectory(_folder.File("later"));
        await File.WriteAllBytesAsync(Path.Combine(_folder.File("later"), "model.safetensors"), _files["model.safetensors"][..2_900_000]);
        using var whole = new Cable(int.MaxValue);
        using var later = new OciClient(target, null, handler: whole);
        await PullAsync(later, target, "later");
        whole.Ranges.ShouldBe(["bytes=2900000-"]);
        (await File.ReadAllBytesAsync(Path.Combine(_folder.File("later"), "model.safetensors"))).ShouldBe(_files["model.safetensors"]);

        // The registry is away for a moment in the middle of a push.
        registry.Kill();
        using var patient = new OciClient(OciReference.Parse($"oci://{registry.Host}/other:v1"), null, clock: new Impatient(async () => await registry.StartProcessAsync()));
        (await PushAsync(patient, "v1")).Sent.ShouldBe(4);
    }

    [Fact]
    public async Task A_registry_that_stays_away_is_tried_four_times_and_no_more()
    {
        var tries = 0;
        using var client = new OciClient(OciReference.Parse("oci://registry.example.com/tiny:v1"), null, clock: new Impatient(), handler: new Answering(_ =>
        {
            tries++;
            throw new HttpRequestException("no route");
        }));
        await Should.ThrowAsync<OciException>(() => client.PutBlobAsync(Digest.Of("a"), 1, () => Task.FromResult<Stream>(new MemoryStream([1])), default));
        tries.ShouldBe(4);
        await Should.ThrowAsync<OciException>(() => client.HasBlobAsync(Digest.Of("a"), default));
        tries.ShouldBe(8);
    }

    [Fact]
    public async Task A_registry_that_gives_tokens_gets_the_password_at_its_token_service_only()
    {
        var asked = new List<string>();
        var handler = new Answering(request =>
        {
            asked.Add($"{request.Method} {request.RequestUri} {request.Headers.Authorization}");
            if (request.RequestUri!.Host == "auth.example.com")
                return Json("""{"token":"t0ken"}""");
            if (request.Headers.Authorization?.Parameter == "t0ken")
                return Json("""{"schemaVersion":2}""");
            var refused = new HttpResponseMessage(HttpStatusCode.Unauthorized);
            refused.Headers.WwwAuthenticate.Add(new AuthenticationHeaderValue("Bearer", "realm=\"https://auth.example.com/token\",service=\"registry\",scope=\"repository:tiny:pull\""));
            return refused;
        });
        using var client = new OciClient(OciReference.Parse("oci://registry.example.com/tiny:v1"), new OciCredentials("ci", "s3cret"), handler: handler);
        await client.GetManifestAsync("v1", default);
        await client.GetManifestAsync("v1", default);
        asked.ShouldBe(
        [
            "GET https://registry.example.com/v2/tiny/manifests/v1 ",
            "GET https://auth.example.com/token?service=registry&scope=repository%3Atiny%3Apull Basic Y2k6czNjcmV0",
            "GET https://registry.example.com/v2/tiny/manifests/v1 Bearer t0ken",
            "GET https://registry.example.com/v2/tiny/manifests/v1 Bearer t0ken",
        ]);

        static HttpResponseMessage Json(string text) => new(HttpStatusCode.OK) { Content = new StringContent(text) };
    }

    public void Dispose() => _folder.Dispose();

    private PackedFile[] Packed() => [.. _files.Select(file => new PackedFile(file.Key, Digest.Of(file.Value), file.Value.Length))];

    private Task<(Digest Manifest, int Sent)> PushAsync(OciClient client, string tag) =>
        OciTransfer.PushAsync(client, tag, s_model, Packed(), file => Task.FromResult<Stream>(new MemoryStream(_files[file.Name])), (_, _) => { }, default);

    private async Task<Digest> PullAsync(OciClient client, OciReference source, string folder)
    {
        var (manifest, files) = await OciTransfer.ResolveAsync(client, source, default);
        await OciTransfer.PullAsync(client, files, _folder.File(folder), (_, _, _) => { }, default);
        return manifest;
    }

    /// <summary>Waits take no time, but what is to happen meanwhile happens.</summary>
    private sealed class Impatient(Func<Task>? meanwhile = null) : TimeProvider
    {
        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            meanwhile?.Invoke().GetAwaiter().GetResult();
            meanwhile = null;
            return base.CreateTimer(callback, state, TimeSpan.Zero, period);
        }
    }

    private sealed class Answering(Func<HttpRequestMessage, HttpResponseMessage> answer) : HttpMessageHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) => Task.FromResult(answer(request));
    }

    /// <summary>A network that breaks connections after so many bytes of a body.</summary>
    private sealed class Cable(int most) : DelegatingHandler(new SocketsHttpHandler())
    {
        public List<string> Ranges { get; } = [];

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            if (request.Headers.Range is { } range)
                Ranges.Add($"{range}");
            var answer = await base.SendAsync(request, cancellationToken);
            var old = answer.Content;
            answer.Content = new StreamContent(new Breaking(await old.ReadAsStreamAsync(cancellationToken), most));
            foreach (var (name, values) in old.Headers)
                answer.Content.Headers.TryAddWithoutValidation(name, values);
            return answer;
        }
    }

    private sealed class Breaking(Stream inner, int most) : Stream
    {
        private int _left = most;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (_left == 0)
                throw new IOException("the cable broke");
            var count = await inner.ReadAsync(buffer[..Math.Min(buffer.Length, _left)], cancellationToken);
            _left -= count;
            return count;
        }

        public override int Read(byte[] buffer, int offset, int count) => ReadAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
