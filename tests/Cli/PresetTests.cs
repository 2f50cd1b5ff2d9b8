using System.Text.Json.Nodes;
using Qbb.Tests;

namespace Qbb.Cli.Tests;

/// <summary>qbb quantize by preset and by size, through the front door.</summary>
public class PresetTests
{
    private static readonly string s_model = Reference.Path("architectures", "llama-gqa-tied");
    private static readonly string[] s_small = ["--group", "32", "--sequences", "48", "--length", "24", "--threads", "1", "--json"];

    [Fact]
    public void Fast_calibrates_on_what_it_samples_and_says_how_far_the_result_is()
    {
        using var folder = new TemporaryFolder();
        var result = Done(["quantize", s_model, "-o", folder.File("q"), "--bases", "3", "--preset", "fast", .. s_small]);
        result["preset"]!.GetValue<string>().ShouldBe("fast");
        result["end"]!["kl"]!.GetValue<double>().ShouldBeInRange(1e-9, 1);
        result["bytes"]!.GetValue<long>().ShouldBeLessThan(result["sourceBytes"]!.GetValue<long>());
        Directory.GetFileSystemEntries(folder.Path).ShouldBe([folder.File("q")]);
        var recipe = JsonNode.Parse(File.ReadAllText(Path.Combine(folder.File("q"), "recipe.json")))!;
        recipe["decomposition"]!["importance"]!.GetValue<string>().ShouldBe("full");
        recipe["distillation"].ShouldBeNull();
    }

    [Fact]
    public void A_result_beyond_the_limit_is_not_written_and_its_stages_serve_the_next_run()
    {
        using var folder = new TemporaryFolder();
        string[] command = ["quantize", s_model, "-o", folder.File("q"), "--bases", "1", "--preset", "fast", .. s_small];
        var refused = QbbCommands.Run([.. command, "--max-kl", "1e-6"]);
        refused.Code.ShouldBe(2, refused.Error);
        refused.Json["message"]!.GetValue<string>().ShouldContain("more than --max-kl");
        Directory.Exists(folder.File("q")).ShouldBeFalse();
        Directory.Exists(folder.File(".q.work")).ShouldBeTrue();
        Done([.. command, "--max-kl", "100"]);
        Directory.GetFileSystemEntries(folder.Path).ShouldBe([folder.File("q")]);
    }

    [Fact]
    public void A_size_is_kept_and_spent_layer_by_layer()
    {
        using var folder = new TemporaryFolder();
        var (least, most) = (Plan(2), Plan(3));
        var size = (least + most) / 2;
        var result = Done(["quantize", s_model, "-o", folder.File("q"), "--size", $"{size}", "--preset", "fast", .. s_small]);
        result["bytes"]!.GetValue<long>().ShouldBeInRange(least * 9 / 10, size);
        var perLayer = JsonNode.Parse(File.ReadAllText(Path.Combine(folder.File("q"), "recipe.json")))!["decomposition"]!["basesPerLayer"]!.AsObject();
        perLayer.Select(layer => layer.Value!.GetValue<int>()).Distinct().Count().ShouldBeGreaterThan(1);

        long Plan(int bases) => Done("quantize", s_model, "--bases", $"{bases}", "--group", "32", "--plan", "--json")["outputBytes"]!.GetValue<long>();
    }

    /// <summary>Here, as in a policy, it chooses what the option does.</summary>
    [Fact]
    public void A_recipe_file_can_name_the_preset()
    {
        using var folder = new TemporaryFolder();
        var file = folder.File("r.json");
        File.WriteAllText(file, """{ "preset": "fast", "decomposition": { "bases": 2, "group": 32 } }""");
        Done("quantize", s_model, "--recipe", file, "--plan", "--json")["recipe"]!.ToJsonString()
            .ShouldBe(Done("quantize", s_model, "--preset", "fast", "--bases", "2", "--group", "32", "--plan", "--json")["recipe"]!.ToJsonString());
        var refused = QbbCommands.Run("quantize", s_model, "--recipe", file, "--text", file, "-o", folder.File("o"));
        refused.Code.ShouldBe(2);
        refused.Error.ShouldContain("the recipe has preset fast, which samples its own data");
    }

    [Fact]
    public void A_plan_is_printed_before_any_work_and_is_a_recipe()
    {
        using var folder = new TemporaryFolder();
        var plan = Done("quantize", s_model, "--bases", "2", "--group", "32", "--plan", "--json");
        plan["stages"]!.AsArray().Select(stage => stage!["name"]!.GetValue<string>()).ShouldBe(["sample", "quantize", "distill"]);
        var recipe = plan["recipe"]!.AsObject();
        recipe["sampling"]!["sequences"] = 48;
        recipe["sampling"]!["length"] = 24;
        recipe["distillation"]!["steps"] = 3;
        recipe["distillation"]!["warmup"] = 0;
        Done("quantize", s_model, "-o", folder.File("q"), "--recipe", folder.Write("recipe.json", recipe.ToJsonString()), "--threads", "1", "--json");
        QbbCommands.Run("quantize", s_model, "--bases", "2", "--plan").Out.ShouldContain("in all:");
    }

    [Theory]
    [InlineData("--bases 8 --group 8", "more than plain 8-bit rounding")]
    [InlineData("--preset fast --init rtn", "does not go together with an init")]
    [InlineData("--preset weights --sequences 9", "--sequences does not apply")]
    [InlineData("--size 1kB", "less than this model can take")]
    [InlineData("--preset weights --max-kl 1", "--max-kl needs text")]
    public void Choices_that_do_not_go_together_are_refused(string options, string says)
    {
        using var folder = new TemporaryFolder();
        var refused = QbbCommands.Run(["quantize", s_model, "-o", folder.File("q"), .. options.Split(' ')]);
        refused.Code.ShouldBe(2, refused.Out);
        refused.Error.ShouldContain(says);
        Directory.GetFileSystemEntries(folder.Path).ShouldBeEmpty();
    }

    private static JsonObject Done(params string[] arguments)
    {
        var result = QbbCommands.Run(arguments);
        result.Code.ShouldBe(0, result.Error + result.Out);
        return result.Json;
    }
}
