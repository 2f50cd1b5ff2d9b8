using System.Text.Json.Nodes;
using Qbb.Cli.Registry;
using Qbb.EndToEnd.Tests.Servers;
using Qbb.Tests;

namespace Qbb.EndToEnd.Tests;

/// <summary>What only the workers, or a whole process, can refuse.</summary>
public sealed class BadInputTests : IDisposable
{
    private const string Everything = "deletedDays=0&resultDays=0&graceMinutes=0";
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Models_that_cannot_be_read_fail_their_pipelines_and_leave_nothing()
    {
        using var up = new UpProcess(_folder.File("data"));
        using var registry = new RegistryCalls(up.Url);
        var good = Files();
        await UploadAsync(registry.Client, "good", good);
        var model = new byte[1000];
        await UploadAsync(registry.Client, "no-weights", new(good) { ["model.safetensors"] = model });
        await UploadAsync(registry.Client, "cut-off", new(good) { ["model.safetensors"] = good["model.safetensors"][..^100] });
        await UploadAsync(registry.Client, "no-config", new(good) { ["config.json"] = "{ \"model_type\": "u8.ToArray() });
        await UploadAsync(registry.Client, "other-family", new(good) { ["config.json"] = "{ \"model_type\": \"vision\" }"u8.ToArray() });

        await FailsAsync(registry, "no-weights", "model.safetensors", "header");
        await FailsAsync(registry, "cut-off", "model.safetensors", "cut off");
        await FailsAsync(registry, "no-config", "config.json");
        await FailsAsync(registry, "other-family", "vision");

        var report = await registry.Client.PostAsync($"api/collect?{Everything}", new JsonObject(), CancellationToken.None);
        report["blobs"]!.GetValue<int>().ShouldBeGreaterThan(0, "the recipes of pipelines that failed");
        var again = await registry.Client.PostAsync($"api/collect?{Everything}&dryRun=true", new JsonObject(), CancellationToken.None);
        foreach (var what in new[] { "versions", "results", "blobs", "bytes" })
            again[what]!.GetValue<long>().ShouldBe(0, what);
        foreach (var (name, bytes) in good)
            (await registry.Client.HasBlobAsync(Digest.Of(bytes), CancellationToken.None)).ShouldBeTrue(name);
    }

    [Fact]
    public async Task A_registry_whose_database_is_away_says_so_and_gives_up()
    {
        using var service = new ServiceProcess("qbb-registry", FreePort.Next(),
        [
            "Database:Provider=Postgres", $"Database:ConnectionString=Host=127.0.0.1;Port={FreePort.Next()};Username=qbb;Database=qbb", "Startup:WaitSeconds=3",
            $"Artifacts:Folder={_folder.File("artifacts")}",
        ]);
        (await service.ExitAsync()).ShouldBe(1);
        service.Log.ShouldContain("Waiting for the database at 127.0.0.1:");
        service.Log.ShouldContain("error: the database at 127.0.0.1:");
        service.Log.ShouldContain("Gave up after 3 s (Startup:WaitSeconds)");
    }

    private static Dictionary<string, byte[]> Files() =>
        Directory.GetFiles(TinyRecipes.Model).ToDictionary(file => Path.GetFileName(file), File.ReadAllBytes);

    private static async Task UploadAsync(RegistryClient client, string name, Dictionary<string, byte[]> files)
    {
        foreach (var bytes in files.Values)
            await client.PutBlobAsync(Digest.Of(bytes), new MemoryStream(bytes), CancellationToken.None);
        await client.PostAsync($"api/models/{name}/versions", new JsonObject
        {
            ["files"] = new JsonArray([.. files.Select(file => new JsonObject
            {
                ["name"] = file.Key,
                ["digest"] = Digest.Of(file.Value).Value,
                ["size"] = file.Value.Length,
            })]),
            ["quantize"] = false,
        }, CancellationToken.None);
    }

    private static async Task FailsAsync(RegistryCalls registry, string model, params string[] said)
    {
        var state = await registry.EndAsync(await registry.StartAsync(model, 1, TinyRecipes.Plain()), TimeSpan.FromMinutes(2));
        state["state"]!.ToString().ShouldBe("failed", model);
        foreach (var words in said)
            state["error"]!.ToString().ShouldContain(words);
    }
}
