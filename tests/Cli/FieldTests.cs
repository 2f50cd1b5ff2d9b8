using System.Text.Json.Nodes;
using Qbb.Tests;

namespace Qbb.Cli.Tests;

/// <summary>Checkpoints as people report them (tests/Reference/field), through the commands.</summary>
public class FieldTests
{
    [Fact]
    public void What_is_warned_of_is_said_on_stderr_and_in_the_result()
    {
        var inspected = QbbCommands.Run("inspect", Reference.Path("field", "tied-flag-own-head"), "--json");
        inspected.Code.ShouldBe(0, inspected.Error);
        inspected.Json["warnings"]!.AsArray().Single()!.GetValue<string>().ShouldContain("lm_head.weight that differs");
        inspected.Error.ShouldContain("warning: config.json ties the head");
        inspected.Json["problems"]!["quantize"].ShouldBeNull();
        inspected.Json["problems"]!["generate"].ShouldBeNull();
    }

    [Fact]
    public void Inspect_says_what_will_not_run()
    {
        var json = QbbCommands.Run("inspect", Reference.Path("field", "neox-buffers-fp32"), "--json").Json;
        json["problems"]!["quantize"].ShouldBeNull();
        json["problems"]!["generate"]!.GetValue<string>().ShouldContain("has no tokenizer.json");
    }

    [Fact]
    public void Inspect_names_whole_tensors_and_plans_the_work()
    {
        var model = Reference.Path("field", "nulls");
        QbbCommands.Run("inspect", model, "--bases", "2").Error.ShouldContain("--bases goes with --plan");
        var plan = QbbCommands.Run("inspect", model, "--plan", "--bases", "2", "--windows", "3", "--device", "cpu", "--threads", "2", "--json").Json["plan"]!.AsArray();
        plan.Select(work => work!["work"]!.GetValue<string>().Split(',')[0]).ShouldBe(["quantize --preset weights", "quantize --preset fast", "quantize --preset balanced", "quantize --preset best", "eval", "generate"]);
        plan.ShouldAllBe(work => work!["seconds"]!.GetValue<double>() > 0 && work["memoryBytes"]!.GetValue<long>() > 0);
        var text = QbbCommands.Run("inspect", model, "--all", "--plan").Out;
        text.ShouldContain("model.layers.0.post_attention_layernorm.weight");
        text.ShouldContain("eval, 20 ×");
    }

    [Theory]
    [InlineData("model.layers.0.self_attn.q_proj.weight")]
    [InlineData("model.layers.1.input_layernorm.weight")]
    public void No_command_passes_over_a_NaN(string tensor)
    {
        using var folder = new TemporaryFolder();
        foreach (var file in Directory.GetFiles(Reference.Path("field", "nulls")))
            File.Copy(file, folder.File(Path.GetFileName(file)));
        Spoil(folder.File("model.safetensors"), tensor);
        var text = folder.Write("text.txt", string.Concat(Enumerable.Repeat("the cat sat on the mat and the dog ran off ", 40)));
        (string[] Arguments, string Message)[] runs =
        [
            (["quantize", folder.Path, "-o", folder.File("q"), "--bases", "1", "--group", "16", "--preset", "weights"], $"tensor {tensor} holds NaN at index 0"),
            (["export", folder.Path, "-o", folder.File("e")], $"tensor {tensor} holds NaN at index 0"),
            (["eval", folder.Path, "--text", text, "--context", "16"], "the model gave NaN as a logit"),
            (["generate", folder.Path, "--prompt", "the", "-n", "4"], "the model gave NaN as the logit"),
        ];
        foreach (var (arguments, message) in runs)
        {
            var result = QbbCommands.Run(arguments);
            result.Code.ShouldBe(2, arguments[0]);
            result.Error.ShouldContain(message);
        }
        Directory.GetDirectories(folder.Path).ShouldBeEmpty();
    }

    /// <summary>Makes the first number of a tensor NaN.</summary>
    private static void Spoil(string path, string tensor)
    {
        var bytes = File.ReadAllBytes(path);
        var header = (int)BitConverter.ToInt64(bytes);
        var entry = JsonNode.Parse(bytes.AsSpan(8, header))![tensor]!;
        entry["dtype"]!.GetValue<string>().ShouldBe("F32");
        BitConverter.TryWriteBytes(bytes.AsSpan(8 + header + (int)entry["data_offsets"]![0]!), float.NaN);
        File.WriteAllBytes(path, bytes);
    }

    [Fact]
    public void A_turn_ends_where_its_key_says()
    {
        var made = QbbCommands.Run("generate", Reference.Path("field", "gguf-eot-key"), "--prompt", "a", "--temperature", "0", "--json");
        made.Json["samples"]![0]!["ids"]!.AsArray().Select(id => id!.GetValue<int>()).ShouldBe([5, 6, 3]);
    }

    [Fact]
    public void An_empty_text_has_the_tokens_around_it()
    {
        using var folder = new TemporaryFolder();
        folder.Write("empty.txt", "");
        foreach (var how in new[] { ("--text", ""), ("--file", folder.File("empty.txt")) })
        {
            var result = QbbCommands.Run("tokenize", Reference.Path("field", "nulls"), how.Item1, how.Item2, "--json");
            result.Code.ShouldBe(0, result.Error);
            result.Json["ids"]!.ToJsonString().ShouldBe("[1]");
        }
    }

    [Fact]
    public void A_snapshot_of_links_is_like_the_folder()
    {
        using var folder = new TemporaryFolder();
        var (blobs, snapshot) = (Directory.CreateDirectory(folder.File("blobs")).FullName, Directory.CreateDirectory(folder.File("snapshots")).FullName);
        foreach (var file in Directory.GetFiles(Reference.Path("field", "nulls")))
        {
            var blob = Path.Combine(blobs, $"{Path.GetFileName(file).Length:x8}{Path.GetFileName(file)[0]}");
            File.Copy(file, blob);
            File.CreateSymbolicLink(Path.Combine(snapshot, Path.GetFileName(file)), Path.GetRelativePath(snapshot, blob));
        }
        var files = QbbCommands.Run("inspect", snapshot, "--json").Json["files"]!.AsArray();
        files.Single(file => file!["name"]!.GetValue<string>() == "model.safetensors")!["bytes"]!.GetValue<long>()
            .ShouldBe(new FileInfo(Reference.Path("field", "nulls", "model.safetensors")).Length);
    }
}
