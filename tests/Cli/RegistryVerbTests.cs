using System.Text.Json.Nodes;
using Qbb.Cli.Registry;
using Qbb.Tests;

namespace Qbb.Cli.Tests;

/// <summary>ls, show, rm, tag, alias, policy, cancel and retry against all services in the test's process.</summary>
[Collection(Server.Name)]
public sealed class RegistryVerbTests(RegistryVerbTests.Server server)
{
    private const string Recipe = """{ "decomposition": { "bases": 2, "group": 16 }, "evaluation": { "sampling": { "sequences": 8, "length": 16 } } }""";

    /// <summary>A registry with the model tiny, its upload version 1 and its champion version 2.</summary>
    [CollectionDefinition(Name)]
    public sealed class Server : IAsyncLifetime, ICollectionFixture<Server>
    {
        public const string Name = "registry";

        private readonly TemporaryFolder _folder = new();
        private readonly CancellationTokenSource _stop = new();
        private Task _running = Task.CompletedTask;

        public string Url { get; private set; } = "";

        internal string Write(string name, string text) => _folder.Write(name, text);

        public async ValueTask InitializeAsync()
        {
            var started = new TaskCompletionSource<string>();
            var settings = new UpSettings(
                _folder.File("data"), 0, "cpu", 1, new Dictionary<string, PipelineRecipe> { ["plain"] = PipelineRecipe.Parse(Recipe) }, ["Logging:LogLevel:Qbb=Error", "Logging:LogLevel:Default=Error"]);
            Directory.CreateDirectory(_folder.File("data"));
            _running = OneProcess.RunAsync(settings, started.SetResult, _stop.Token);
            await await Task.WhenAny(started.Task, _running);
            Url = await started.Task;
            (await QbbCommands.RunAsync("push", Reference.Path("architectures", "llama-gqa-tied"), "--name", "tiny", "--url", Url)).Code.ShouldBe(0);
            (await QbbCommands.RunAsync("watch", "tiny", "--url", Url)).Code.ShouldBe(0);
        }

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await _running;
            _stop.Dispose();
            _folder.Dispose();
        }
    }

    [Fact]
    public void Models_and_versions_are_listed_and_shown()
    {
        Done("ls")["models"]!.AsArray().Select(model => model!["name"]!.GetValue<string>()).ShouldContain("tiny");
        Done("ls", "--query", "nothing-like-it")["models"]!.AsArray().ShouldBeEmpty();
        var versions = Done("ls", "tiny")["versions"]!.AsArray();
        versions.Select(version => version!["kind"]!.GetValue<string>()).TakeLast(2).ShouldBe(["quantized", "upload"]);
        var model = Done("show", "tiny");
        model["gate"]!["champion"]!.GetValue<int>().ShouldBe(2);
        var pipeline = model["pipelines"]!.AsArray()[^1]!["id"]!.GetValue<string>();
        Done("show", pipeline)["state"]!.GetValue<string>().ShouldBe("succeeded");
        Done("show", "tiny@champion")["lineage"]!["parent"]!["version"]!.GetValue<int>().ShouldBe(1);

        Said("ls").ShouldContain("tiny");
        Said("ls", "tiny").ShouldContain("plain");
        Said("show", "tiny").ShouldContain(pipeline);
        Said("show", pipeline).ShouldContain("decompose");
        Said("show", "tiny@2").ShouldContain("model.safetensors");
        Refused(2, "there is no model nothing", "show", "nothing");
        Refused(2, "no version 9", "show", "tiny@9");
        Refused(2, "tiny@ is not a version", "show", "tiny@");
    }

    [Fact]
    public void Tags_and_aliases_are_set_listed_and_removed()
    {
        Done("tag", "tiny@2", "team=red", "stage=a=b")["tags"]!.ToJsonString().ShouldBe("""{"stage":"a=b","team":"red"}""");
        Said("tag", "tiny@champion", "--remove", "stage").ShouldBe("team=red\n");
        Refused(2, "red is not a tag: write KEY=VALUE", "tag", "tiny@2", "red");
        Refused(2, "tiny names no version", "tag", "tiny");

        Done("alias", "tiny@champion", "prod")["aliases"]!["prod"]!.GetValue<int>().ShouldBe(2);
        Said("alias", "tiny").ShouldContain("prod  tiny@2\n");
        Refused(2, "7 cannot be an alias", "alias", "tiny@2", "7");
        Refused(2, "give the alias that is to point to tiny@2", "alias", "tiny@2");
        Said("alias", "tiny", "--remove", "prod").ShouldNotContain("prod");
        Refused(2, "tiny has no alias prod", "alias", "tiny", "--remove", "prod");
    }

    [Fact]
    public void Versions_and_models_are_deleted_and_restored()
    {
        var copy = new DirectoryInfo(Reference.Path("architectures", "qwen2")).FullName;
        Done("policy", "set", "none", "--models", "nobody", "--recipe", server.Write("quick.json", Recipe));
        QbbCommands.Run("push", copy, "--name", "gone", "--url", server.Url).Code.ShouldBe(0);
        Said("rm", "gone@1").ShouldContain("qbb rm gone@1 --restore");
        Refused(2, "no version 1", "show", "gone@1");
        Done("rm", "gone@1", "--restore")["version"]!.GetValue<int>().ShouldBe(1);
        Done("rm", "gone")["model"]!.GetValue<string>().ShouldBe("gone");
        Refused(2, "there is no model gone", "ls", "gone");
        Done("rm", "gone", "--restore")["name"]!.GetValue<string>().ShouldBe("gone");
        Refused(2, "champion", "rm", "tiny@2");
    }

    [Fact]
    public void Policies_are_set_listed_and_removed()
    {
        var file = server.Write("two.json", Recipe);
        var policy = Done("policy", "set", "small", "--models", "llama-*", "--recipe", file, "--max-kl", "0.5");
        policy["gate"]!["maxKl"]!.GetValue<double>().ShouldBe(0.5);
        Done("policy", "ls")["policies"]!.AsArray().Select(one => one!["name"]!.GetValue<string>()).ShouldContain("small");
        Said("policy", "show", "small").ShouldContain("KL ≤ 0.5");
        Done("policy", "rm", "small");
        var nightly = Done("policy", "set", "nightly", "--models", "llama", "--recipe", file, "--mlflow", "llama", "--mlflow-tag", "quantize:yes");
        nightly["mlflow"]!["tag"]!.GetValue<string>().ShouldBe("quantize:yes");
        Done("policy", "rm", "nightly");
        Refused(2, "the registry has no MLflow server", "push", "mlflow:/llama/3");
        Refused(2, "does not name a version in MLflow", "push", "mlflow:/llama");
        Refused(2, "there is no policy small", "policy", "show", "small");
        Refused(2, "the recipe cannot be used", "policy", "set", "small", "--recipe", server.Write("bad.json", """{ "decomposition": { "bases": 99 } }"""));
    }

    [Fact]
    public void Pipelines_are_cancelled_and_retried()
    {
        var slow = server.Write("slow.json", """{ "decomposition": { "bases": 8, "group": 16, "refinement": "gradient", "steps": 5000, "rounds": 50 }, "evaluation": { "sampling": { "sequences": 8, "length": 16 } } }""");
        QbbCommands.Run("push", Reference.Path("architectures", "llama-mha"), "--name", "slow", "--recipe", slow, "--url", server.Url).Code.ShouldBe(0);
        Refused(2, "slow has no failed or cancelled pipeline", "retry", "slow");
        var cancelled = Done("cancel", "slow")["pipelines"]!.AsArray().Single()!;
        cancelled["state"]!.GetValue<string>().ShouldBe("cancelled");
        Refused(2, "slow has no queued or running pipeline (slow cancelled)", "cancel", "slow");
        Done("retry", "slow")["pipelines"]!.AsArray().Single()!["state"]!.GetValue<string>().ShouldBeOneOf("queued", "running");
        Done("cancel", cancelled["id"]!.GetValue<string>());
        Refused(2, "succeeded", "retry", Done("show", "tiny")["pipelines"]!.AsArray()[^1]!["id"]!.GetValue<string>());
    }

    private JsonObject Done(params string[] arguments)
    {
        var result = QbbCommands.Run([.. arguments, "--url", server.Url, "--json"]);
        result.Code.ShouldBe(0, result.Error);
        return result.Json;
    }

    private string Said(params string[] arguments)
    {
        var result = QbbCommands.Run([.. arguments, "--url", server.Url]);
        result.Code.ShouldBe(0, result.Error);
        return result.Out;
    }

    private void Refused(int code, string said, params string[] arguments)
    {
        var result = QbbCommands.Run([.. arguments, "--url", server.Url, "--json"]);
        result.Code.ShouldBe(code, result.Error);
        result.Json["message"]!.GetValue<string>().ShouldContain(said);
    }
}
