using System.Diagnostics;
using System.Text.Json.Nodes;
using Qbb.Standalone.Tests;
using Qbb.Tests;

namespace Qbb.EndToEnd.Tests;

/// <summary>qbb up, push, watch and pull as a user runs them.</summary>
public sealed class OneProcessTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void An_upload_is_quantized_without_further_hands_and_equals_the_direct_command()
    {
        var recipe = _folder.Write("full.json", TinyRecipes.Full().ToJson());
        using var up = Up("--recipe", recipe);
        var url = Url(up);

        var pushed = QbbProcess.Run("push", TinyRecipes.Model, "--url", url, "--json");
        pushed.Code.ShouldBe(0, pushed.Error);
        var watched = QbbProcess.Run("watch", TinyRecipes.ModelName, "--url", url, "--json");
        watched.Code.ShouldBe(0, watched.Error);
        var metrics = watched.Json["pipelines"]![0]!["metrics"]!;
        metrics["perplexity"]!.GetValue<double>().ShouldBeGreaterThan(1);
        metrics["kl"]!.GetValue<double>().ShouldBeGreaterThan(0);
        var pulled = QbbProcess.Run("pull", $"{TinyRecipes.ModelName}@champion", "-o", _folder.File("pulled"), "--url", url);
        pulled.Code.ShouldBe(0, pulled.Error);
        Stop(up);

        var direct = QbbProcess.Run(
            "quantize", TinyRecipes.Model, "-o", _folder.File("direct"), "--recipe", _folder.Write("direct.json", TinyRecipes.FullForCommand),
            "--distill", "--sequences", "64", "--length", "16", "--keep", "0.5", "--threads", "1");
        direct.Code.ShouldBe(0, direct.Error);
        SameFolders.Check(_folder.File("direct"), _folder.File("pulled"));
    }

    [Fact]
    public void A_registry_that_is_away_is_named()
    {
        var result = QbbProcess.Run("push", TinyRecipes.Model, "--url", "http://127.0.0.1:9");
        result.Code.ShouldBe(2);
        result.Error.ShouldContain("no registry answers at http://127.0.0.1:9");
    }

    [Fact]
    public void A_recipe_that_cannot_be_used_is_refused_before_anything_is_sent()
    {
        var recipe = _folder.Write("bad.json", """{ "decomposition": { "bases": 9, "refinement": "none", "rounds": 3 } }""");
        var result = QbbProcess.Run("push", TinyRecipes.Model, "--recipe", recipe, "--url", "http://127.0.0.1:9");
        result.Code.ShouldBe(2);
        result.Error.ShouldContain("bases is 9");
        result.Error.ShouldContain("rounds is set but refinement is none");
    }

    private Process Up(params string[] more) =>
        QbbProcess.Start(["up", "--port", "0", "--data", _folder.File("data"), "--threads", "1", "--json", .. more]);

    private static string Url(Process up)
    {
        // What it says on stderr must not fill the pipe.
        up.ErrorDataReceived += (_, _) => { };
        up.BeginErrorReadLine();
        return JsonNode.Parse(up.StandardOutput.ReadLine()!)!["url"]!.ToString();
    }

    private static void Stop(Process up)
    {
        using var kill = Process.Start("kill", ["-TERM", $"{up.Id}"]);
        up.WaitForExit(30_000).ShouldBeTrue("a stop may take 30 s");
    }
}
