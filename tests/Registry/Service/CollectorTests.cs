using System.Net;
using Qbb.Artifacts;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

public sealed class CollectorTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task What_nothing_refers_to_goes_and_what_is_shared_stays()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var (one, two) = (RegistryServer.SmallModel(), RegistryServer.SmallModel(seed: 1));
        await server.UploadAsync("tiny", one);
        await server.UploadAsync("tiny", two);
        await server.ExpireLeasesAsync();
        (await server.CollectAsync()).Blobs.ShouldBe(0);

        await server.Api.DeleteVersionAsync("tiny", "1");
        (await server.Api.CollectAsync(graceMinutes: 0)).Blobs.ShouldBe(0, "it can still be restored");

        var dry = await server.CollectAsync(dryRun: true);
        var manifest = new ArtifactManifest(one.Select(file => KeyValuePair.Create(file.Key, new ManifestEntry(Contracts.Digest.Of(file.Value), file.Value.Length))));
        dry.Blobs.ShouldBe(2, "weights and manifest; config.json is the other version's too");
        dry.Bytes.ShouldBe(one["model.safetensors"].Length + manifest.ToJson().Length);
        (await CountAsync(server)).ShouldBe(5);

        var wet = await server.CollectAsync();
        wet.Bytes.ShouldBe(dry.Bytes);
        wet.Versions.ShouldBe(1);
        (await CountAsync(server)).ShouldBe(3);
        (await server.Client.GetByteArrayAsync("/api/models/tiny/versions/2/files/model.safetensors")).ShouldBe(two["model.safetensors"]);
        await RegistryServer.RefusedAsync(HttpStatusCode.Gone, () => server.Api.RestoreVersionAsync("tiny", "1"));

        var again = await server.UploadAsync("tiny", one);
        again.Version.ShouldBe(1, "the same content is the same version");
        (await server.Client.GetByteArrayAsync("/api/models/tiny/versions/1/files/model.safetensors")).ShouldBe(one["model.safetensors"]);
    }

    [Fact]
    public async Task An_upload_on_its_way_is_spared_and_one_that_was_given_up_is_not()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var bytes = "part of something"u8.ToArray();
        await server.PutAsync(bytes);
        (await server.CollectAsync()).Blobs.ShouldBe(0);
        await server.ExpireLeasesAsync();
        var first = await server.Api.CollectAsync(resultDays: 0);
        first.Leases.ShouldBe(1);
        first.Blobs.ShouldBe(0, "it was put a moment ago");
        var report = await server.CollectAsync();
        report.Bytes.ShouldBe(bytes.Length);
    }

    [Fact]
    public async Task A_cancelled_pipeline_leaves_nothing_and_a_running_one_loses_nothing()
    {
        var hold = new TaskCompletionSource();
        var script = new WorkerScript { Decompose = hold.Task };
        await using var server = await RegistryServer.StartAsync(_folder, script);
        var files = RegistryServer.SmallModel();
        await server.UploadAsync("tiny", files);
        await server.ExpireLeasesAsync();
        const string Recipe = """{"decomposition":{"bases":2,"importance":"full"},"distillation":{"steps":30}}""";
        var id = await server.StartAsync(Recipe);
        while ((await server.Api.GetPipelineAsync(id)).Stage != Stage.Decompose)
            await Task.Delay(50);
        (await server.CollectAsync()).Blobs.ShouldBe(0, "the pipeline needs its samples");
        await server.Api.CancelPipelineAsync(id);
        hold.SetResult();
        await Task.Delay(500);
        await server.CollectAsync();
        (await CountAsync(server)).ShouldBe(files.Count + 1, "the upload's files and their manifest");
    }

    [Fact]
    public async Task A_collection_asks_for_a_right()
    {
        const string Key = "a key of the operators";
        await using (var open = await RegistryServer.StartAsync(_folder))
        {
            (await PostAsync(open)).StatusCode.ShouldBe(HttpStatusCode.OK, "this machine may");
            var forwarded = await PostAsync(open, ("X-Forwarded-For", "203.0.113.9"));
            forwarded.StatusCode.ShouldBe(HttpStatusCode.Forbidden);
            (await forwarded.Content.ReadAsStringAsync()).ShouldContain("Registry:CollectKey");
        }
        await using var server = await RegistryServer.StartAsync(_folder, null, $"--Registry:CollectKey={Key}");
        var without = await PostAsync(server);
        without.StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
        without.Headers.WwwAuthenticate.Single().Scheme.ShouldBe("Bearer");
        (await PostAsync(server, ("Authorization", "Bearer another key of somebody"))).StatusCode.ShouldBe(HttpStatusCode.Forbidden);
        (await PostAsync(server, ("Authorization", $"Bearer {Key}"))).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await PostAsync(server, ("Authorization", $"Bearer {Key}"), ("X-Forwarded-For", "203.0.113.9"))).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await server.Client.GetAsync("/api/collect")).StatusCode.ShouldBe(HttpStatusCode.OK, "to look needs no right");
    }

    [Fact]
    public async Task A_store_that_is_away_while_manifests_are_read_loses_nothing()
    {
        var script = new WorkerScript { Decompose = new TaskCompletionSource().Task };
        await using var server = await RegistryServer.StartAsync(_folder, script);
        await server.UploadAsync("tiny");
        var id = await server.StartAsync("""{"decomposition":{"bases":2,"importance":"full"}}""");
        while ((await server.Api.GetPipelineAsync(id)).Stage != Stage.Decompose)
            await Task.Delay(50);
        await server.ExpireLeasesAsync();
        var before = await CountAsync(server);
        // What the results of units list is in their manifests alone.
        script.IsStoreAway = method => method == nameof(IArtifactStore.OpenReadAsync);
        await RegistryServer.RefusedAsync(HttpStatusCode.ServiceUnavailable, () => server.Once.CollectAsync(graceMinutes: 0));
        script.IsStoreAway = _ => false;
        (await CountAsync(server)).ShouldBe(before);
        (await server.Api.GetCollectionAsync()).Running.ShouldBeFalse();
    }

    public void Dispose() => _folder.Dispose();

    private static Task<HttpResponseMessage> PostAsync(RegistryServer server, params (string Name, string Value)[] headers)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, "/api/collect?dryRun=true");
        foreach (var (name, value) in headers)
            request.Headers.TryAddWithoutValidation(name, value);
        return server.Client.SendAsync(request);
    }

    private static async Task<int> CountAsync(RegistryServer server) => await server.Store.ListAsync().CountAsync();
}
