using Qbb.Tests;

namespace Qbb.Cli.Tests;

/// <summary>Checkpoints as people report them (tests/Reference/field), through the commands.</summary>
public class FieldTests
{
    [Fact]
    public void What_is_warned_of_is_said_on_stderr_and_in_the_result()
    {
        var inspected = QbbProcess.Run("inspect", Reference.Path("field", "tied-flag-own-head"), "--json");
        inspected.Code.ShouldBe(0, inspected.Error);
        inspected.Json["warnings"]!.AsArray().Single()!.GetValue<string>().ShouldContain("lm_head.weight that differs");
        inspected.Error.ShouldContain("warning: config.json ties the head");
        inspected.Json["problems"]!["quantize"].ShouldBeNull();
        inspected.Json["problems"]!["generate"].ShouldBeNull();
    }

    [Fact]
    public void Inspect_says_what_will_not_run()
    {
        var json = QbbProcess.Run("inspect", Reference.Path("field", "neox-buffers-fp32"), "--json").Json;
        json["problems"]!["quantize"].ShouldBeNull();
        json["problems"]!["generate"]!.GetValue<string>().ShouldContain("has no tokenizer.json");
    }

    [Fact]
    public void A_turn_ends_where_its_key_says()
    {
        var made = QbbProcess.Run("generate", Reference.Path("field", "gguf-eot-key"), "--prompt", "a", "--temperature", "0", "--json");
        made.Json["samples"]![0]!["ids"]!.AsArray().Select(id => id!.GetValue<int>()).ShouldBe([5, 6, 3]);
    }

    [Fact]
    public void An_empty_text_has_the_tokens_around_it()
    {
        using var folder = new TemporaryFolder();
        folder.Write("empty.txt", "");
        foreach (var how in new[] { ("--text", ""), ("--file", folder.File("empty.txt")) })
        {
            var result = QbbProcess.Run("tokenize", Reference.Path("field", "nulls"), how.Item1, how.Item2, "--json");
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
        var files = QbbProcess.Run("inspect", snapshot, "--json").Json["files"]!.AsArray();
        files.Single(file => file!["name"]!.GetValue<string>() == "model.safetensors")!["bytes"]!.GetValue<long>()
            .ShouldBe(new FileInfo(Reference.Path("field", "nulls", "model.safetensors")).Length);
    }
}
