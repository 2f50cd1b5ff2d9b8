using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using Qbb.Cli.Tests;
using Qbb.EndToEnd.Tests.Servers;
using Qbb.Tests;

namespace Qbb.EndToEnd.Tests;

/// <summary>qbb up, push, watch and pull as a user runs them.</summary>
public sealed class OneProcessTests(DirectResult direct, OneProcessTests.Quantized quantized) : IClassFixture<OneProcessTests.Quantized>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    /// <summary>A server with a model, tiny, and what became of it, for tests of what comes afterwards.</summary>
    public sealed class Quantized : IDisposable
    {
        private readonly TemporaryFolder _folder = new();
        private readonly UpApp _up;

        public Quantized()
        {
            _up = new UpApp(_folder.File("data"), TinyRecipes.Coarse());
            Command.Done("push", TinyRecipes.SampleTeacher, "--name", "tiny", "--url", Url);
            Command.Done("watch", "tiny", "--url", Url);
        }

        public string Url => _up.Url;

        public void Dispose()
        {
            _up.Dispose();
            _folder.Dispose();
        }
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void An_upload_is_quantized_without_further_hands_and_equals_the_direct_command()
    {
        using var up = new UpServer(_folder.File("data"), "--recipe", _folder.Write("full.json", TinyRecipes.Full().ToJson()));
        Equal(QbbProcess.Run, up.Url, direct.Folder);
        up.Stop();
    }

    [Fact]
    public void So_it_is_in_another_type()
    {
        var recipe = TinyRecipes.Full() with { Type = Precision.Bf16 };
        var command = QbbProcess.Run(
            "quantize", TinyRecipes.Model, "-o", _folder.File("direct"), "--recipe", _folder.Write("direct.json", recipe.ToJson()), "--threads", "1");
        command.Code.ShouldBe(0, command.Error);
        JsonNode.Parse(File.ReadAllText(_folder.File("direct/recipe.json")))!["distillation"]!["type"]!.ToString().ShouldBe("bf16");
        using var up = new UpApp(_folder.File("data"), recipe);
        Equal(Command.Run, up.Url, _folder.File("direct"));
    }

    private void Equal(Func<string[], QbbProcess.Result> run, string url, string expected)
    {
        var pushed = run(["push", TinyRecipes.Model, "--url", url, "--json"]);
        pushed.Code.ShouldBe(0, pushed.Error);
        var watched = run(["watch", TinyRecipes.ModelName, "--url", url, "--json"]);
        watched.Code.ShouldBe(0, watched.Error);
        var metrics = watched.Json["pipelines"]![0]!["metrics"]!;
        metrics["perplexity"]!.GetValue<double>().ShouldBeGreaterThan(1);
        metrics["kl"]!.GetValue<double>().ShouldBeGreaterThan(0);
        var pulled = run(["pull", $"{TinyRecipes.ModelName}@champion", "-o", _folder.File("pulled"), "--url", url]);
        pulled.Code.ShouldBe(0, pulled.Error);
        SameFolders.Check(expected, _folder.File("pulled"));
    }

    [Fact]
    public async Task A_version_is_served_from_the_registry()
    {
        using var serve = QbbProcess.StartWith([("XDG_CACHE_HOME", _folder.File("cache"))], "serve", "tiny@1", "--url", quantized.Url, "--port", "0", "--threads", "1", "--json");
        try
        {
            var started = JsonNode.Parse((await serve.StandardOutput.ReadLineAsync().WaitAsync(TimeSpan.FromMinutes(2)))!)!;
            started["model"]!.ToString().ShouldBe("tiny");
            using var client = new HttpClient();
            (await client.GetStringAsync($"{started["url"]}/v1/models")).ShouldContain("\"id\":\"tiny\"");
        }
        finally
        {
            serve.Kill();
        }
        // The next start finds it there.
        var cached = Directory.GetDirectories(_folder.File("cache/qbb/models")).ShouldHaveSingleItem();
        File.ReadAllBytes(Path.Combine(cached, "model.safetensors")).AsSpan().SequenceEqual(File.ReadAllBytes(Path.Combine(TinyRecipes.SampleTeacher, "model.safetensors"))).ShouldBeTrue();
        Command.Run("serve", "tiny@nobody", "--url", quantized.Url, "--port", "0").Error.ShouldContain("Its newest version is");
    }

    [Fact]
    public async Task An_alias_is_followed_while_it_is_served()
    {
        Command.Done("alias", "tiny@1", "live", "--url", quantized.Url);
        using var serve = QbbProcess.StartWith([("XDG_CACHE_HOME", _folder.File("cache"))], "serve", "tiny@live", "--url", quantized.Url, "--port", "0", "--threads", "1", "--json");
        try
        {
            var started = JsonNode.Parse((await serve.StandardOutput.ReadLineAsync().WaitAsync(TimeSpan.FromMinutes(2)))!)!;
            using var client = new HttpClient();
            (await VersionAsync()).ShouldBe(1);
            Command.Done("alias", "tiny@2", "live", "--url", quantized.Url);
            for (var end = DateTime.UtcNow.AddMinutes(2); await VersionAsync() != 2 && DateTime.UtcNow < end; await Task.Delay(200))
            {
                // Not a moment without an answer.
                using var answer = await client.PostAsync($"{started["url"]}/v1/completions", new StringContent("""{"prompt":"The sea","max_tokens":2}""", Encoding.UTF8, "application/json"));
                answer.EnsureSuccessStatusCode();
            }
            (await VersionAsync()).ShouldBe(2);

            async Task<int> VersionAsync() => JsonNode.Parse(await client.GetStringAsync($"{started["url"]}/v1/models"))!["data"]![0]!["version"]!.GetValue<int>();
        }
        finally
        {
            serve.Kill();
        }
    }

    [Fact]
    public async Task Watching_goes_on_over_a_restart_of_the_server()
    {
        var recipe = _folder.Write("full.json", TinyRecipes.Full().ToJson());
        var up = new UpServer(_folder.File("data"), "--recipe", recipe);
        var (url, port) = (up.Url, up.Port);
        using var watch = Watch();
        // kill -9: a stop would let a model as small as this one be finished first.
        up.Dispose();
        using var again = new UpServer(_folder.File("data"), "--recipe", recipe, "--port", $"{port}");
        var error = watch.StandardError.ReadToEndAsync();
        var output = await watch.StandardOutput.ReadToEndAsync();
        watch.WaitForExit(120_000).ShouldBeTrue();
        watch.ExitCode.ShouldBe(0, await error);
        (await error).ShouldContain("the registry does not answer");
        JsonNode.Parse(output)!["pipelines"]![0]!["state"]!.ToString().ShouldBe("succeeded");

        Process Watch()
        {
            Command.Done("push", TinyRecipes.Model, "--name", "tiny", "--url", url);
            var process = QbbProcess.Start("watch", "tiny", "--url", url, "--json");
            process.StandardError.ReadLine().ShouldNotBeNull();
            return process;
        }
    }
}
