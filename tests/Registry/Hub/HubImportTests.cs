using System.Net;
using System.Text.Json.Nodes;
using Microsoft.EntityFrameworkCore;
using Qbb.Cli.Tests;
using Qbb.Contracts;
using Qbb.Registry.Tests.Service;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Hub;

/// <summary>Commits on the hub that become versions here.</summary>
public sealed class HubImportTests : IDisposable
{
    private static readonly NamedRecipe s_recipe = new("three", JsonNode.Parse("""{"decomposition":{"bases":3}}""")!);
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_policy_takes_each_commit_once_and_quantizes_it()
    {
        await using var hub = await FakeHub.StartAsync(token: "hf_secret");
        Put(hub, 0);
        // The connection ends twice in the middle of the weights.
        hub.Cuts.Enqueue(1500);
        hub.Cuts.Enqueue(10);
        File.WriteAllText(_folder.File("token"), "hf_secret\n");
        await using var server = await StartAsync(hub, $"--Hub:TokenFile={_folder.File("token")}");
        var set = await server.Api.SetPolicyAsync("watch", new PolicyChange("tiny*", [s_recipe], Hub: "hf:acme/tiny"));
        set.Hub.ShouldBe("hf:acme/tiny");
        await server.Api.SetPolicyAsync("again", new PolicyChange("*", [s_recipe], Hub: $"hf:acme/tiny@{hub.Head}"));
        await TakenAsync(server, 1);
        var version = await server.Api.GetVersionAsync("tiny", "1");
        version.Files!.Select(file => file.Name).ShouldBe(["LICENSE", "config.json", "model.safetensors", "tokenizer.json"], ignoreOrder: true);
        version.Files!.Single(file => file.Name == "model.safetensors").Digest.ShouldBe(Digest.Of(RegistryServer.SmallModel()["model.safetensors"]));
        (version.Tags["hub.model"], version.Tags["hub.commit"]).ShouldBe(("acme/tiny", hub.Head));
        // Both policies apply to it, and ask for the same recipe: it runs once for each.
        var pipelines = (await server.Api.ListPipelinesAsync("tiny")).Items.Count;
        pipelines.ShouldBeGreaterThan(0);
        var seen = hub.Requests.Count;
        await RegistryServer.UntilAsync(() => Task.FromResult(hub.Requests.Count > seen + 6));
        (await server.Api.ListPipelinesAsync("tiny")).Items.Count.ShouldBe(pipelines);
        hub.Requests.Skip(seen).ShouldAllBe(request => request.StartsWith("api/", StringComparison.Ordinal));
        (await server.Client.GetStringAsync("/policies")).ShouldContain($"commit {hub.Head[..7]}: taken");

        Put(hub, 1);
        hub.Head = new string('a', 40);
        await TakenAsync(server, 2);
        // A pipeline of the first may have published its version before.
        var uploads = (await server.Api.ListVersionsAsync("tiny")).Items.Where(row => row.Kind == VersionKind.Upload).OrderBy(row => row.Version).ToList();
        uploads.Select(row => row.Tags["hub.commit"]).ShouldBe([version.Tags["hub.commit"], hub.Head]);
    }

    [Fact]
    public async Task Shards_follow_their_index_and_a_gguf_file_is_named()
    {
        await using var hub = await FakeHub.StartAsync();
        Put(hub, 0);
        hub.Files["model-00001-of-00001.safetensors"] = hub.Files["model.safetensors"];
        hub.Files.Remove("model.safetensors");
        hub.Files["model.safetensors.index.json"] = """{"metadata":{},"weight_map":{"a":"model-00001-of-00001.safetensors"}}"""u8.ToArray();
        await using var server = await StartAsync(hub);
        await server.Api.SetPolicyAsync("watch", new PolicyChange("tiny", [s_recipe], Hub: "hf:acme/tiny"));
        await TakenAsync(server, 1);
        (await server.Api.GetVersionAsync("tiny", "1")).Files!.Select(file => file.Name)
            .ShouldBe(["LICENSE", "config.json", "model-00001-of-00001.safetensors", "model.safetensors.index.json", "tokenizer.json"], ignoreOrder: true);

        hub.Files.Clear();
        (hub.Files["q4/tiny-q4.gguf"], hub.Files["q8/tiny-q8.gguf"]) = (new byte[2000], new byte[2001]);
        hub.Head = new string('b', 40);
        await ErrorAsync(server, "has 2 GGUF files: name one in the policy, such as hf:acme/tiny/q4/tiny-q4.gguf");
    }

    [Fact]
    public async Task What_cannot_be_taken_is_told_on_the_page_and_taken_later()
    {
        await using var hub = await FakeHub.StartAsync();
        Put(hub, 0);
        hub.Damaged["model.safetensors"] = new byte[hub.Files["model.safetensors"].Length];
        await using var server = await StartAsync(hub);
        await server.Api.SetPolicyAsync("other", new PolicyChange("*", [s_recipe], Hub: "hf:acme/nothing"));
        await server.Api.SetPolicyAsync("watch", new PolicyChange("tiny", [s_recipe], Hub: "hf:acme/tiny"));
        await ErrorAsync(server, "no model acme/nothing, or it is private");
        await RegistryServer.UntilAsync(async () => (await server.Client.GetStringAsync("/policies")).Contains("retrying, ", StringComparison.Ordinal));
        hub.Damaged.Clear();
        await TakenAsync(server, 1);
        var page = await server.Client.GetStringAsync("/policies");
        page.ShouldContain("not looked up: ");
    }

    [Fact]
    public async Task Policies_with_an_unusable_model_are_refused()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        async Task<string> RefusedAsync(string models, string hub) => (await RegistryServer.RefusedAsync(
            HttpStatusCode.UnprocessableEntity, () => server.Api.SetPolicyAsync("bad", new PolicyChange(models, [s_recipe], Hub: hub)))).Message;
        (await RefusedAsync("*", "acme/tiny")).ShouldContain("hub is acme/tiny; write hf:OWNER/NAME");
        (await RefusedAsync("*", "hf:acme//tiny")).ShouldContain("hub: hf:acme//tiny does not name a model on the hub");
        (await RefusedAsync("llama*", "hf:acme/tiny")).ShouldContain("the model tiny of hub does not match models llama*");
        (await Should.ThrowAsync<Exception>(() => RegistryServer.StartAsync(_folder, null, "--Hub:Endpoint=nowhere"))).Message.ShouldContain("Hub:Endpoint is nowhere");
    }

    private Task<RegistryServer> StartAsync(FakeHub hub, params string[] settings) =>
        RegistryServer.StartAsync(_folder, null, [$"--Hub:Endpoint={hub.Address}", "--Hub:PollSeconds=0.1", .. settings]);

    private static Task TakenAsync(RegistryServer server, int count) =>
        RegistryServer.UntilAsync(async () => await server.InDatabaseAsync(context => context.HubImports.CountAsync(import => import.VersionId != null)) == count);

    private static Task ErrorAsync(RegistryServer server, string text) =>
        RegistryServer.UntilAsync(async () => await server.InDatabaseAsync(context => context.HubImports.AnyAsync(import => import.Error != null && import.Error.Contains(text))));

    private static void Put(FakeHub hub, int seed)
    {
        hub.Files.Clear();
        foreach (var (name, bytes) in RegistryServer.SmallModel(seed))
            hub.Files[name] = bytes;
        hub.Files["tokenizer.json"] = "{}"u8.ToArray();
        hub.Files["LICENSE"] = "MIT"u8.ToArray();
        // What a model does not need.
        hub.Files["pytorch_model.bin"] = new byte[3000];
        hub.Files["onnx/model.safetensors"] = new byte[3000];
        hub.Files["consolidated.safetensors"] = new byte[3000];
    }
}
