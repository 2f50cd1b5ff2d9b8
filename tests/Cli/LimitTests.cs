using Qbb.Tests;

namespace Qbb.Cli.Tests;

/// <summary>What would destroy files or cost minutes for nothing is refused before any work.</summary>
public class LimitTests
{
    private static readonly string s_model = Reference.Path("gguf", "narrow-F16.gguf");
    // What it samples is text to a model without a tokenizer.
    private static readonly string s_sampled = Reference.Path("architectures", "llama-gqa-tied");

    [Fact]
    public void Force_never_deletes_files_that_qbb_did_not_write()
    {
        using var folder = new TemporaryFolder();
        var text = folder.Write("text", string.Concat(Enumerable.Repeat("the cat sat on the mat by the river and the dog ran ", 30)));
        string[] small = ["--bases", "2", "--group", "32"];
        Done(["quantize", s_model, "-o", folder.File("q"), "--preset", "weights", .. small]);
        Done("sample", s_sampled, "-o", folder.File("data"), "--sequences", "8", "--length", "8", "--max-repetition", "1");
        (string Name, string[] Arguments)[] commands =
        [
            ("o", ["quantize", s_model, "-o", folder.File("o"), "--preset", "weights", .. small]),
            ("o", ["export", s_model, "-o", folder.File("o")]),
            ("o", ["filter", folder.File("data"), "--random", "-o", folder.File("o")]),
            ("o", ["sample", s_sampled, "-o", folder.File("o"), "--sequences", "8", "--length", "8", "--max-repetition", "1"]),
            ("o", ["distill", folder.File("q"), "--teacher", s_model, "--text", text, "--length", "16", "--steps", "2", "--batch", "2", "-o", folder.File("o")]),
            ("o/rtn-2-g32", ["compare", s_model, "-o", folder.File("o"), .. small, "--methods", "rtn", "--context", "16", "--windows", "1"]),
        ];
        foreach (var (name, arguments) in commands)
        {
            var target = Directory.CreateDirectory(folder.File(name)).FullName;
            // A model of somebody else's.
            foreach (var file in new[] { "config.json", "manifest.json" })
                File.WriteAllText(Path.Combine(target, file), "{}");
            var refused = QbbCommands.Run([.. arguments, "--force"]);
            refused.Code.ShouldBe(2, arguments[0]);
            refused.Error.ShouldContain($"{target} contains config.json");
            Directory.EnumerateFileSystemEntries(target).Select(Path.GetFileName).Order().ShouldBe(["config.json", "manifest.json"]);
            Directory.Delete(folder.File("o"), recursive: true);
        }
        // What another command of qbb wrote may be replaced, until somebody puts a file there.
        Done([.. commands[0].Arguments]);
        Done([.. commands[1].Arguments, "--force"]);
        File.WriteAllText(Path.Combine(folder.File("o"), "notes.txt"), "mine");
        QbbCommands.Run([.. commands[0].Arguments, "--force"]).Error.ShouldContain("contains notes.txt");
        File.Exists(Path.Combine(folder.File("o"), "model.safetensors")).ShouldBeTrue();
        QbbCommands.Run("export", folder.File("q"), "-o", folder.File("q"), "--force").Error.ShouldContain("would replace its source");
    }

    [Theory]
    [InlineData("quantize")]
    [InlineData("inspect")]
    public void A_scale_per_row_can_be_chosen(string command)
    {
        var plan = QbbCommands.Run(command, s_model, "--plan", "--bases", "2", "--group", "row", "--json");
        plan.Code.ShouldBe(0, plan.Error);
        if (command == "quantize")
            plan.Json["recipe"]!["decomposition"]!["group"]!.GetValue<string>().ShouldBe("row");
    }

    [Fact]
    public void A_group_that_is_longer_than_a_row_is_refused_by_layer()
    {
        using var folder = new TemporaryFolder();
        foreach (var command in new[] { "quantize", "compare" })
        {
            var refused = QbbCommands.Run(command, s_model, "-o", folder.File("o"), "--group", "4096", "--json");
            refused.Code.ShouldBe(2);
            refused.Json["message"]!.GetValue<string>().ShouldContain("the group of 4096 is longer than the rows of model.layers.0.self_attn.q_proj.weight, which have 128 weights");
            refused.Json["remedy"]!.GetValue<string>().ShouldContain("--group row");
        }
        Directory.EnumerateFileSystemEntries(folder.Path).ShouldBeEmpty();
    }

    [Fact]
    public void A_context_beyond_the_models_is_refused_unless_allowed()
    {
        using var folder = new TemporaryFolder();
        var text = folder.Write("text", string.Concat(Enumerable.Repeat("the cat sat on the mat by the river and the dog ran ", 200)));
        (string[] Arguments, string Option)[] commands =
        [
            (["eval", s_model, "--text", text, "--context", "9999"], "--context"),
            (["compare", s_model, "-o", folder.File("o"), "--context", "9999"], "--context"),
            (["quantize", s_model, "-o", folder.File("o"), "--group", "32", "--text", text, "--calibration-context", "9999"], "--calibration-context"),
            (["quantize", s_model, "-o", folder.File("o"), "--group", "32", "--length", "9999"], "--length"),
            (["sample", s_model, "-o", folder.File("o"), "--length", "9999"], "--length"),
        ];
        foreach (var (arguments, option) in commands)
        {
            var refused = QbbCommands.Run(arguments);
            refused.Code.ShouldBe(2, arguments[0]);
            refused.Error.ShouldContain($"{option} is 9999, but the model's context length is ");
            refused.Error.ShouldContain("--allow-long-context");
        }
        Directory.Exists(folder.File("o")).ShouldBeFalse();
        var longer = QbbCommands.Run("eval", s_model, "--text", text, "--context", "600", "--windows", "1", "--allow-long-context", "--json");
        longer.Code.ShouldBe(0, longer.Error);
        ((int)longer.Json["context"]!).ShouldBe(600);
    }

    [Theory]
    [InlineData("eval", "--text")]
    [InlineData("generate", "--prompt")]
    [InlineData("compare", "--text", "-o", "/tmp/nowhere")]
    [InlineData("quantize", "--text", "-o", "/tmp/nowhere", "--group", "32")]
    public void A_missing_tokenizer_is_said_before_weights_are_read(string command, params string[] more)
    {
        using var folder = new TemporaryFolder();
        File.Copy(Reference.Path("architectures", "llama-mha", "config.json"), folder.File("config.json"));
        // Weights that no reader could take: whoever gets that far says something else.
        File.Copy(Reference.Path("architectures", "llama-mha", "model.safetensors"), folder.File("model.safetensors"));
        var bytes = File.ReadAllBytes(folder.File("model.safetensors"));
        bytes.AsSpan(bytes.Length / 2).Fill(0xff);
        File.WriteAllBytes(folder.File("model.safetensors"), bytes);
        var text = folder.Write("text", string.Concat(Enumerable.Repeat("the cat sat ", 400)));
        var result = QbbCommands.Run([command, folder.Path, more[0], text, .. more[1..]]);
        result.Code.ShouldBe(2);
        result.Error.ShouldContain("no tokenizer");
    }

    [Fact]
    public void A_task_is_answered()
    {
        using var folder = new TemporaryFolder();
        var task = folder.Write("task.jsonl", """{"context": "the cat", "choices": [" sat", " river"], "answer": 0}""" + "\n" + """{"context": "the dog ", "choices": ["ran", "mat"], "answer": 1}""");
        var result = QbbCommands.Run("eval", s_model, "--task", task, "--json");
        result.Code.ShouldBe(0, result.Error);
        ((int)result.Json["task"]!["questions"]!).ShouldBe(2);
        ((double)result.Json["task"]!["accuracy"]!).ShouldBeOneOf(0, 0.5, 1);
        result.Json["perplexity"].ShouldBeNull();
        QbbCommands.Run("eval", s_model, "--task", task).Out.ShouldContain("of 2 questions");
    }

    private static void Done(params string[] arguments)
    {
        var result = QbbCommands.Run([.. arguments, "--json"]);
        result.Code.ShouldBe(0, result.Error);
    }
}
