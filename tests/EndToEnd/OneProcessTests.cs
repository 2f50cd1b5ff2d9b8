using System.Diagnostics;
using System.Text.Json.Nodes;
using Qbb.Cli.Tests;
using Qbb.EndToEnd.Tests.Servers;
using Qbb.Tests;

namespace Qbb.EndToEnd.Tests;

/// <summary>qbb up, push, watch and pull as a user runs them.</summary>
public sealed class OneProcessTests(DirectResult direct) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void An_upload_is_quantized_without_further_hands_and_equals_the_direct_command() => Equal(TinyRecipes.Full(), direct.Folder);

    [Fact]
    public void So_it_is_in_another_type()
    {
        var recipe = TinyRecipes.Full() with { Type = Precision.Bf16 };
        var command = QbbProcess.Run(
            "quantize", TinyRecipes.Model, "-o", _folder.File("direct"), "--recipe", _folder.Write("direct.json", recipe.ToJson()), "--threads", "1");
        command.Code.ShouldBe(0, command.Error);
        JsonNode.Parse(File.ReadAllText(_folder.File("direct/recipe.json")))!["distillation"]!["type"]!.ToString().ShouldBe("bf16");
        Equal(recipe, _folder.File("direct"));
    }

    private void Equal(PipelineRecipe parts, string expected)
    {
        var recipe = _folder.Write("full.json", parts.ToJson());
        using var up = new UpServer(_folder.File("data"), "--recipe", recipe);
        var url = up.Url;

        var pushed = QbbProcess.Run("push", TinyRecipes.Model, "--url", url, "--json");
        pushed.Code.ShouldBe(0, pushed.Error);
        var watched = QbbProcess.Run("watch", TinyRecipes.ModelName, "--url", url, "--json");
        watched.Code.ShouldBe(0, watched.Error);
        var metrics = watched.Json["pipelines"]![0]!["metrics"]!;
        metrics["perplexity"]!.GetValue<double>().ShouldBeGreaterThan(1);
        metrics["kl"]!.GetValue<double>().ShouldBeGreaterThan(0);
        var pulled = QbbProcess.Run("pull", $"{TinyRecipes.ModelName}@champion", "-o", _folder.File("pulled"), "--url", url);
        pulled.Code.ShouldBe(0, pulled.Error);
        up.Stop();

        SameFolders.Check(expected, _folder.File("pulled"));
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
