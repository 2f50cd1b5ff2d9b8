using System.Net;
using Microsoft.Extensions.Time.Testing;
using Qbb.Artifacts.Hub;
using Qbb.Cli.Hub;
using Qbb.Tests;

namespace Qbb.Cli.Tests;

/// <summary>Models of the hub, from a server that speaks its API.</summary>
public sealed class HubTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly List<string> _warnings = [];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("hf:acme/tiny", "acme/tiny", null, "main")]
    [InlineData("hf:gpt2", "gpt2", null, "main")]
    [InlineData("hf:acme/tiny-1.5_b@refs/pr/3", "acme/tiny-1.5_b", null, "refs/pr/3")]
    [InlineData("hf:acme/tiny/q4/tiny.Q4_1.gguf@v1.0", "acme/tiny", "q4/tiny.Q4_1.gguf", "v1.0")]
    public void A_reference_names_repository_file_and_revision(string text, string repository, string? file, string revision)
    {
        var reference = HubReference.Parse(text)!;
        (reference.Repository, reference.File, reference.Revision).ShouldBe((repository, file, revision));
        reference.ToString().ShouldBe(text);
    }

    [Theory]
    [InlineData("hf:")]
    [InlineData("hf:/tiny")]
    [InlineData("hf:acme/tiny/model.safetensors")]
    [InlineData("hf:../tiny")]
    [InlineData("hf:acme/tiny/../../x.gguf")]
    [InlineData("hf:acme/tiny@../x")]
    [InlineData("hf:acme/tiny@")]
    [InlineData("hf:acme/ti ny")]
    public void What_is_no_reference_is_refused_with_the_form(string text) =>
        Should.Throw<InvalidInputException>(() => HubReference.Parse(text)).Message.ShouldContain("write hf:OWNER/NAME");

    [Fact]
    public void Variables_are_those_of_the_hubs_own_tools()
    {
        var token = _folder.Write("token", "hf_stored\n");
        HubSettings Of(params (string Name, string Value)[] set) => HubSettings.From(name => set.FirstOrDefault(pair => pair.Name == name).Value);
        Of(("HOME", "/home/a")).ShouldBe(new HubSettings(new Uri("https://huggingface.co/"), "/home/a/.cache/huggingface/hub", null, false));
        Of(("XDG_CACHE_HOME", "/c")).CacheFolder.ShouldBe("/c/huggingface/hub");
        Of(("HF_HOME", _folder.Path), ("HF_HUB_OFFLINE", "1")).ShouldBe(new HubSettings(new Uri("https://huggingface.co/"), _folder.File("hub"), "hf_stored", true));
        Of(("HF_HUB_CACHE", "/x"), ("HF_TOKEN", "hf_t"), ("HF_TOKEN_PATH", token), ("HF_ENDPOINT", "http://mirror:8080")).ShouldBe(new HubSettings(new Uri("http://mirror:8080/"), "/x", "hf_t", false));
        Should.Throw<InvalidInputException>(() => Of(("HF_ENDPOINT", "mirror"))).Message.ShouldContain("HF_ENDPOINT is 'mirror'");
    }

    [Fact]
    public async Task Only_the_files_that_a_model_needs_are_fetched_into_the_shared_cache()
    {
        await using var hub = await ShardedAsync(token: "hf_secret");
        var path = await FetchAsync(hub, "hf:acme/tiny");
        path.ShouldBe(_folder.File($"models--acme--tiny/snapshots/{FakeHub.Commit}"));
        Directory.GetFileSystemEntries(path, "*", SearchOption.AllDirectories).Where(File.Exists).Select(file => Path.GetRelativePath(path, file)).Order(StringComparer.Ordinal)
            .ShouldBe(["a-00001.safetensors", "a-00002.safetensors", "additional_chat_templates/tools.jinja", "config.json", "model.safetensors.index.json", "tokenizer.json"]);
        foreach (var (name, bytes) in hub.Files.Where(file => File.Exists(Path.Combine(path, file.Key))))
        {
            File.ReadAllBytes(Path.Combine(path, name)).ShouldBe(bytes);
            Path.GetFileName(File.ResolveLinkTarget(Path.Combine(path, name), true)!.FullName).ShouldBe(hub.HashOf(name));
        }
        File.ReadAllText(_folder.File("models--acme--tiny/refs/main")).ShouldBe(FakeHub.Commit);
        var requests = hub.Requests.Count;
        (await FetchAsync(hub, "hf:acme/tiny")).ShouldBe(path);
        (hub.Requests.Count - requests).ShouldBe(1, "the commit alone is asked for");
    }

    [Fact]
    public async Task What_has_arrived_is_not_fetched_again()
    {
        await using var hub = await ShardedAsync();
        foreach (var most in new[] { 300, 0, 700 })
            hub.Cuts.Enqueue(most);
        hub.Files["config.json"] = new byte[1500];
        var path = await FetchAsync(hub, "hf:acme/tiny");
        File.ReadAllBytes(Path.Combine(path, "config.json")).ShouldBe(hub.Files["config.json"]);
        hub.Requests.Where(request => request.StartsWith("cdn/config.json", StringComparison.Ordinal))
            .ShouldBe(["cdn/config.json", "cdn/config.json bytes=300-", "cdn/config.json bytes=300-", "cdn/config.json bytes=1000-"]);
    }

    [Fact]
    public async Task A_run_resumes_what_another_left()
    {
        await using var hub = await ShardedAsync();
        var blobs = Directory.CreateDirectory(_folder.File("models--acme--tiny/blobs")).FullName;
        File.WriteAllBytes(Path.Combine(blobs, hub.HashOf("a-00001.safetensors") + ".incomplete"), hub.Files["a-00001.safetensors"][..400]);
        // Longer than the file can be: begun anew.
        File.WriteAllBytes(Path.Combine(blobs, hub.HashOf("a-00002.safetensors") + ".incomplete"), new byte[9999]);
        await FetchAsync(hub, "hf:acme/tiny");
        hub.Requests.ShouldContain("cdn/a-00001.safetensors bytes=400-");
        hub.Requests.ShouldContain("cdn/a-00002.safetensors");
        Directory.GetFiles(blobs, "*.incomplete").ShouldBeEmpty();
    }

    [Fact]
    public async Task Damaged_bytes_do_not_enter_the_cache()
    {
        await using var hub = await ShardedAsync();
        hub.Damaged["a-00001.safetensors"] = new byte[hub.Files["a-00001.safetensors"].Length];
        (await Should.ThrowAsync<InvalidInputException>(() => FetchAsync(hub, "hf:acme/tiny"))).Message.ShouldContain("a-00001.safetensors are not those of its hash");
        File.Exists(_folder.File($"models--acme--tiny/blobs/{hub.HashOf("a-00001.safetensors")}")).ShouldBeFalse();
        hub.Damaged.Clear();
        await FetchAsync(hub, "hf:acme/tiny");
    }

    [Fact]
    public async Task A_hub_that_is_busy_is_asked_again_when_it_says()
    {
        await using var hub = await ShardedAsync();
        hub.Refusals.Enqueue((503, null));
        hub.Refusals.Enqueue((429, "7"));
        var clock = new FakeTimeProvider { AutoAdvanceAmount = TimeSpan.FromMilliseconds(1) };
        var fetched = FetchAsync(hub, "hf:acme/tiny", clock: clock);
        while (!fetched.IsCompleted)
        {
            clock.Advance(TimeSpan.FromMilliseconds(500));
            await Task.Delay(5);
        }
        await fetched;
        hub.Refusals.ShouldBeEmpty();
    }

    [Fact]
    public async Task Offline_and_without_an_answer_the_cached_commit_serves()
    {
        string path;
        await using (var hub = await ShardedAsync())
        {
            (await Should.ThrowAsync<InvalidInputException>(() => FetchAsync(hub, "hf:acme/tiny", isOffline: true))).Message.ShouldContain("HF_HUB_OFFLINE is set");
            path = await FetchAsync(hub, "hf:acme/tiny");
            var requests = hub.Requests.Count;
            (await FetchAsync(hub, "hf:acme/tiny", isOffline: true)).ShouldBe(path);
            (await FetchAsync(hub, $"hf:acme/tiny@{FakeHub.Commit}", isOffline: true)).ShouldBe(path);
            hub.Requests.Count.ShouldBe(requests);
            await hub.DisposeAsync();
            (await FetchAsync(hub, "hf:acme/tiny")).ShouldBe(path);
            _warnings.Single().ShouldContain($"the cached {FakeHub.Commit} is used");
            (await Should.ThrowAsync<InvalidInputException>(() => FetchAsync(hub, "hf:acme/other"))).Message.ShouldContain("does not answer");
        }
    }

    [Fact]
    public async Task Refusals_name_the_remedy()
    {
        await using (var hub = await ShardedAsync())
        {
            async Task<string> RefusedAsync(string model) => (await Should.ThrowAsync<InvalidInputException>(() => FetchAsync(hub, model))).Message;
            (await RefusedAsync("hf:acme/none")).ShouldContain("has no model acme/none, or it is private: check the name, or set HF_TOKEN");
            (await RefusedAsync("hf:acme/tiny@v9")).ShouldContain("acme/tiny has no revision v9");
            (await RefusedAsync("hf:acme/tiny/x.gguf")).ShouldContain("has no file x.gguf");
            hub.Files.Remove("a-00002.safetensors");
            (await RefusedAsync("hf:acme/tiny")).ShouldContain("lacks a-00002.safetensors, which its index names");
            hub.Files.Clear();
            (await RefusedAsync("hf:acme/tiny")).ShouldContain("is not a language model in safetensors or GGUF");
            hub.Files["pytorch_model.bin"] = new byte[2000];
            (await RefusedAsync("hf:acme/tiny")).ShouldContain("as Python pickles");
            Directory.Exists(_folder.File($"models--acme--tiny/snapshots/{FakeHub.Commit}/config.json")).ShouldBeFalse();
        }
        await using var gated = await FakeHub.StartAsync("hf_other", isGated: true);
        (await Should.ThrowAsync<InvalidInputException>(() => FetchAsync(gated, "hf:acme/tiny"))).Message.ShouldContain("is gated: accept its terms at");
    }

    [Fact]
    public async Task A_GGUF_file_is_chosen_by_name_where_there_are_several_and_comes_with_all_its_pieces()
    {
        await using var hub = await FakeHub.StartAsync();
        hub.Files["tiny-Q8_0.gguf"] = new byte[2000];
        (await FetchAsync(hub, "hf:acme/tiny")).ShouldEndWith("/tiny-Q8_0.gguf");
        hub.Files["big/tiny-00001-of-00002.gguf"] = new byte[1200];
        hub.Files["big/tiny-00002-of-00002.gguf"] = new byte[1300];
        (await Should.ThrowAsync<InvalidInputException>(() => FetchAsync(hub, "hf:acme/tiny"))).Message
            .ShouldBe("acme/tiny has 2 GGUF files: name one: hf:acme/tiny/big/tiny-00001-of-00002.gguf, hf:acme/tiny/tiny-Q8_0.gguf");
        var path = await FetchAsync(hub, "hf:acme/tiny/big/tiny-00001-of-00002.gguf");
        new FileInfo(path.Replace("00001-of", "00002-of", StringComparison.Ordinal)).ResolveLinkTarget(true)!.Exists.ShouldBeTrue();
        hub.Requests.Count(request => request.StartsWith("cdn/tiny-Q8_0", StringComparison.Ordinal)).ShouldBe(1);
    }

    [Fact]
    public async Task Commands_take_models_by_name()
    {
        await using var hub = await FakeHub.StartAsync();
        foreach (var file in Directory.GetFiles(Reference.Path("field", "nulls")))
            hub.Files[Path.GetFileName(file)] = File.ReadAllBytes(file);
        (string, string)[] variables = [("HF_ENDPOINT", hub.Address), ("HF_HUB_CACHE", _folder.Path), ("HF_HUB_OFFLINE", "")];
        var made = QbbProcess.RunWith(variables, "quantize", "hf:acme/tiny", "-o", _folder.File("out"), "--preset", "weights", "-n", "2", "-g", "16", "--json");
        made.Code.ShouldBe(0, made.Error);
        QbbProcess.RunWith(variables, "inspect", "hf:acme/none").Error.ShouldContain("has no model acme/none");
    }

    private static async Task<FakeHub> ShardedAsync(string? token = null)
    {
        var hub = await FakeHub.StartAsync(token);
        hub.Files["config.json"] = "{}"u8.ToArray();
        hub.Files["tokenizer.json"] = "{}"u8.ToArray();
        hub.Files["README.md"] = "# tiny"u8.ToArray();
        hub.Files["additional_chat_templates/tools.jinja"] = "{{ x }}"u8.ToArray();
        hub.Files["model.safetensors.index.json"] = """{"weight_map":{"a":"a-00001.safetensors","b":"a-00002.safetensors"}}"""u8.ToArray();
        hub.Files["a-00001.safetensors"] = [.. Enumerable.Range(0, 2000).Select(k => (byte)k)];
        hub.Files["a-00002.safetensors"] = [.. Enumerable.Range(0, 3000).Select(k => (byte)(k * 3))];
        hub.Files["consolidated.safetensors"] = new byte[5000];
        hub.Files["pytorch_model.bin"] = new byte[5000];
        return hub;
    }

    private async Task<string> FetchAsync(FakeHub hub, string model, bool isOffline = false, TimeProvider? clock = null)
    {
        var settings = new HubSettings(new Uri(hub.Address + "/"), _folder.Path, hub.Token == "hf_other" ? null : hub.Token, isOffline);
        using var client = new HubClient(settings, new SocketsHttpHandler { AutomaticDecompression = DecompressionMethods.None }, clock ?? TimeProvider.System);
        return await new HubModels(settings, client, _warnings.Add).FetchAsync(HubReference.Parse(model)!, (_, _, _) => { }, CancellationToken.None);
    }
}
