using Qbb.EndToEnd.Tests.Servers;
using Qbb.Tests;

namespace Qbb.EndToEnd.Tests;

/// <summary>What only the workers, or a whole process, can refuse.</summary>
public sealed class BadInputTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Models_that_cannot_be_read_fail_their_pipelines_and_leave_nothing()
    {
        using var up = new UpApp(_folder.File("data"), TinyRecipes.Coarse());
        using var registry = new RegistryCalls(up.Url);
        var good = Files();
        await UploadAsync(registry.Api, "good", good);
        var model = new byte[1000];
        await UploadAsync(registry.Api, "no-weights", new(good) { ["model.safetensors"] = model });
        await UploadAsync(registry.Api, "cut-off", new(good) { ["model.safetensors"] = good["model.safetensors"][..^100] });
        await UploadAsync(registry.Api, "no-config", new(good) { ["config.json"] = "{ \"model_type\": "u8.ToArray() });
        await UploadAsync(registry.Api, "other-family", new(good) { ["config.json"] = "{ \"model_type\": \"vision\" }"u8.ToArray() });

        await FailsAsync(registry, "no-weights", "model.safetensors", "header");
        await FailsAsync(registry, "cut-off", "model.safetensors", "cut off");
        await FailsAsync(registry, "no-config", "config.json");
        await FailsAsync(registry, "other-family", "vision");

        (await CollectAsync(dryRun: false)).Blobs.ShouldBeGreaterThan(0, "the recipes of pipelines that failed");
        var again = await CollectAsync(dryRun: true);
        (again.Versions, again.Results, again.Blobs, again.Bytes).ShouldBe((0, 0, 0, 0L));
        foreach (var (name, bytes) in good)
            (await registry.Api.HasBlobAsync(Digest.Of(bytes))).ShouldBeTrue(name);

        Task<CollectionReport> CollectAsync(bool dryRun) => registry.Api.CollectAsync(dryRun, deletedDays: 0, resultDays: 0, graceMinutes: 0, retryDays: 0);
    }

    [Fact]
    public async Task A_registry_whose_database_is_away_says_so_and_gives_up()
    {
        using var service = new ServiceProcess("qbb-registry", FreePort.Next(),
        [
            "Database:Provider=Postgres", $"Database:ConnectionString=Host=127.0.0.1;Port={FreePort.Next()};Username=qbb;Database=qbb", "Startup:WaitSeconds=1",
            $"Artifacts:Folder={_folder.File("artifacts")}",
        ]);
        (await service.ExitAsync()).ShouldBe(1);
        service.Log.ShouldContain("error: the database at 127.0.0.1:");
        service.Log.ShouldContain("Gave up after 1 s (Startup:WaitSeconds)");
    }

    private static Dictionary<string, byte[]> Files() =>
        Directory.GetFiles(TinyRecipes.Model).ToDictionary(file => Path.GetFileName(file), File.ReadAllBytes);

    private static async Task UploadAsync(IRegistryApi api, string name, Dictionary<string, byte[]> files)
    {
        foreach (var bytes in files.Values)
            await api.PutBlobAsync(Digest.Of(bytes), new ByteArrayContent(bytes));
        var entries = files.Select(file => new FileEntry(file.Key, Digest.Of(file.Value), file.Value.Length));
        await api.CreateVersionAsync(name, new VersionRequest([.. entries], Quantize: false));
    }

    private static async Task FailsAsync(RegistryCalls registry, string model, params string[] said)
    {
        var state = await registry.EndAsync(await registry.StartAsync(model, 1, TinyRecipes.Plain()), TimeSpan.FromMinutes(2));
        state.State.ShouldBe(PipelineState.Failed, model);
        foreach (var words in said)
            state.Error!.ShouldContain(words);
    }
}
