using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using Qbb.Artifacts;
using Qbb.Contracts;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

public sealed class UploadTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task A_version_is_there_only_when_all_its_files_are()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var files = RegistryServer.SmallModel();
        var first = files["config.json"];
        (await server.Client.PutAsync($"/api/blobs/{Digest.Of(first)}", new ByteArrayContent(first))).StatusCode.ShouldBe(HttpStatusCode.Created);
        (await server.Client.PutAsync($"/api/blobs/{Digest.Of(first)}", new ByteArrayContent(first))).StatusCode.ShouldBe(HttpStatusCode.NoContent);

        var early = await RegistryServer.RefusedAsync(
            HttpStatusCode.Conflict, () => server.Api.CreateVersionAsync("tiny", RegistryServer.RequestOf(files)));
        early.Errors.ShouldBe(["model.safetensors"]);
        await RegistryServer.RefusedAsync(HttpStatusCode.NotFound, () => server.Api.GetModelAsync("tiny"));

        var uploaded = await server.UploadAsync("tiny", files);
        uploaded.Version.ShouldBe(1);
        var manifest = new ArtifactManifest(files.Select(file => KeyValuePair.Create(
            file.Key, new ManifestEntry(Digest.Of(file.Value), file.Value.Length))));
        uploaded.Manifest.ShouldBe(manifest.Digest.Value);
        using (var shown = new StreamReader(await server.Api.GetManifestAsync("tiny", "1")))
            (await shown.ReadToEndAsync()).ShouldBe(manifest.ToString());

        var again = await server.PostVersionAsync("tiny", files);
        again.StatusCode.ShouldBe(HttpStatusCode.OK);
        (await again.Content.ReadFromJsonAsync<UploadedVersion>(Wire.Json))!.Version.ShouldBe(1);
    }

    [Fact]
    public async Task Bytes_of_another_digest_are_refused_and_leave_nothing()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var digest = Digest.Of("right");
        var refused = await RegistryServer.RefusedAsync(
            HttpStatusCode.BadRequest, () => server.Api.PutBlobAsync(digest, new ByteArrayContent("wrong"u8.ToArray())));
        refused.Message.ShouldContain(digest.Value);
        (await server.Api.HasBlobAsync(digest)).ShouldBeFalse();
        await server.PutAsync("right"u8.ToArray());
        (await server.Api.HasBlobAsync(digest)).ShouldBeTrue();
        (await server.Client.PutAsync("/api/blobs/abc", new ByteArrayContent([1]))).StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        Directory.EnumerateFiles(_folder.File("store"), "*", SearchOption.AllDirectories).ShouldNotContain(path => path.Contains("incoming"));
    }

    [Theory]
    [InlineData("../model.safetensors", "must not step up")]
    [InlineData("/etc/model.safetensors", "must be relative")]
    [InlineData("a\\model.safetensors", "no control characters, backslashes")]
    [InlineData("a/../../model.safetensors", "must not step up")]
    [InlineData("a//model.safetensors", "without empty parts")]
    [InlineData("C:model.safetensors", "colons")]
    [InlineData("pytorch_model.bin", "is a pickle file")]
    [InlineData("CONFIG.JSON", "is listed 2 times")]
    public async Task Names_with_tricks_are_refused(string name, string reason)
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var files = RegistryServer.SmallModel();
        files[name] = "x"u8.ToArray();
        var refused = await RegistryServer.RefusedAsync(
            HttpStatusCode.BadRequest, () => server.Api.CreateVersionAsync("tiny", RegistryServer.RequestOf(files)));
        refused.Message.ShouldContain(reason);
    }

    [Theory]
    [InlineData("a b")]
    [InlineData("..")]
    [InlineData("-x")]
    public async Task Names_of_models_that_cannot_stand_in_an_address_are_refused(string name)
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var response = await server.PostVersionAsync(Uri.EscapeDataString(name).Replace("..", "%2E%2E"), RegistryServer.SmallModel());
        ((int)response.StatusCode).ShouldBeInRange(400, 405);
    }

    [Fact]
    public async Task Files_that_the_index_names_must_be_there()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var files = RegistryServer.SmallModel();
        // A whole model.safetensors would be read in place of what the index names.
        files.Remove("model.safetensors", out var weights);
        files["model-1.safetensors"] = weights!;
        files["model.safetensors.index.json"] = """{"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}}"""u8.ToArray();
        foreach (var bytes in files.Values)
            await server.PutAsync(bytes);
        async Task<string> SaidAsync(Dictionary<string, byte[]> files) => (await RegistryServer.RefusedAsync(
            HttpStatusCode.BadRequest, () => server.Api.CreateVersionAsync("tiny", RegistryServer.RequestOf(files)))).Message;
        (await SaidAsync(files)).ShouldContain("model-2.safetensors is missing");
        (await SaidAsync(new() { ["README.md"] = "x"u8.ToArray() })).ShouldContain("there are no weights");
    }

    [Fact]
    public async Task The_same_idempotency_key_does_it_once()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var files = RegistryServer.SmallModel();
        (await server.PostVersionAsync("tiny", files, "key-1")).StatusCode.ShouldBe(HttpStatusCode.Conflict, "what was refused is not kept");
        await server.UploadAsync("tiny", files, "key-1");
        var replayed = await server.PostVersionAsync("tiny", files, "key-1");
        replayed.StatusCode.ShouldBe(HttpStatusCode.Created);
        replayed.Headers.GetValues("Idempotency-Replayed").ShouldBe(["true"]);
        (await replayed.Content.ReadFromJsonAsync<UploadedVersion>(Wire.Json))!.Version.ShouldBe(1);
        replayed.Headers.Location!.ToString().ShouldBe("/api/models/tiny/versions/1");

        var other = await server.PostVersionAsync("tiny", RegistryServer.SmallModel(seed: 1), "key-1");
        other.StatusCode.ShouldBe(HttpStatusCode.UnprocessableEntity);
    }

    [Theory]
    [InlineData("bytes=0-9", 206, 0, 10)]
    [InlineData("bytes=9990-", 206, 9990, 10)]
    [InlineData("bytes=-5", 206, 9995, 5)]
    [InlineData("bytes=100-100", 206, 100, 1)]
    [InlineData("bytes=9990-99999", 206, 9990, 10)]
    [InlineData("bytes=10000-", 416, 0, 0)]
    [InlineData("bytes=0-1,5-6", 200, 0, 10_000)]
    [InlineData("lines=0-1", 200, 0, 10_000)]
    public async Task Ranges_of_files_are_answered(string range, int status, int offset, int length)
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var files = RegistryServer.SmallModel();
        await server.UploadAsync("tiny", files);
        var request = new HttpRequestMessage(HttpMethod.Get, "/api/models/tiny/versions/1/files/model.safetensors");
        request.Headers.TryAddWithoutValidation("Range", range);
        var response = await server.Client.SendAsync(request);
        ((int)response.StatusCode).ShouldBe(status);
        if (status == 416)
        {
            response.Content.Headers.ContentRange!.ToString().ShouldBe("bytes */10000");
            return;
        }
        (await response.Content.ReadAsByteArrayAsync()).ShouldBe(files["model.safetensors"][offset..(offset + length)]);
        response.Content.Headers.ContentLength.ShouldBe(length);
        if (status == 206)
            response.Content.Headers.ContentRange!.ToString().ShouldBe($"bytes {offset}-{offset + length - 1}/10000");
    }

    [Fact]
    public async Task Who_has_a_file_does_not_get_it_again()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await server.UploadAsync("tiny");
        const string Address = "/api/models/tiny/versions/1/files/config.json";
        var first = await server.Client.GetAsync(Address);
        var request = new HttpRequestMessage(HttpMethod.Get, Address);
        request.Headers.IfNoneMatch.Add(first.Headers.ETag!);
        (await server.Client.SendAsync(request)).StatusCode.ShouldBe(HttpStatusCode.NotModified);

        var changed = new HttpRequestMessage(HttpMethod.Get, Address) { Headers = { Range = new RangeHeaderValue(0, 0) } };
        changed.Headers.IfRange = new RangeConditionHeaderValue(new EntityTagHeaderValue("\"other\""));
        (await server.Client.SendAsync(changed)).StatusCode.ShouldBe(HttpStatusCode.OK, "the range was of something else");
        (await server.Client.GetAsync("/api/models/tiny/versions/1/files/none.json")).StatusCode.ShouldBe(HttpStatusCode.NotFound);
    }

    public void Dispose() => _folder.Dispose();
}
