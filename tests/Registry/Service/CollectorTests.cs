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

    public void Dispose() => _folder.Dispose();

    private static async Task<int> CountAsync(RegistryServer server) => await server.Store.ListAsync().CountAsync();
}
