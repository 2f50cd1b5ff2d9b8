using Qbb.Tests;

namespace Qbb.Cli.Tests;

/// <summary>From a teacher to a distilled student, through the front door.</summary>
public class DistillTests
{
    // What it samples is text to a model without a tokenizer; the other one has one.
    private static readonly string s_teacher = Reference.Path("architectures", "llama-gqa-tied");
    private static readonly string s_model = Reference.Path("gguf", "narrow-F16.gguf");
    private static readonly string[] s_small = ["--batch", "4", "--lr", "0.01", "--eval-every", "5", "--held-out", "0.2", "--threads", "1", "--json"];

    [Fact]
    public void Sampled_and_filtered_data_bring_a_student_nearer_to_its_teacher()
    {
        using var folder = new TemporaryFolder();
        QbbCommands.Run("quantize", s_teacher, "-o", folder.File("q"), "--bases", "2", "--group", "32", "--preset", "weights", "--json").Code.ShouldBe(0);
        QbbCommands.Run("sample", s_teacher, "-o", folder.File("data"), "--sequences", "24", "--length", "24", "--max-repetition", "1", "--json").Code.ShouldBe(0);
        QbbCommands.Run("filter", folder.File("data"), "--teacher", s_teacher, "--student", folder.File("q"), "--keep", "0.8", "-o", folder.File("kept"), "--json").Code.ShouldBe(0);
        var result = QbbCommands.Run(["distill", folder.File("q"), "--teacher", s_teacher, "--data", folder.File("kept"), "-o", folder.File("d"), "--steps", "20", .. s_small]);
        result.Code.ShouldBe(0, result.Error);
        ((double)result.Json["end"]!["kl"]!).ShouldBeLessThan((double)result.Json["start"]!["kl"]!);
        QbbCommands.Run("inspect", folder.File("d"), "--json").Json["quantization"]!.ToString().ShouldBe("qbb");
    }

    [Fact]
    public void Quantize_does_all_of_it_in_one_go()
    {
        using var folder = new TemporaryFolder();
        string[] choices = ["--bases", "2", "--group", "32", "--sequences", "96", "--length", "24", "--distill-steps", "30", "--distill-batch", "8", "--distill-lr", "0.004", "--json"];
        var result = QbbCommands.Run(["quantize", s_teacher, "-o", folder.File("q"), .. choices]);
        result.Code.ShouldBe(0, result.Error);
        ((double)result.Json["end"]!["kl"]!).ShouldBeLessThan((double)result.Json["start"]!["kl"]!);
        Directory.GetFileSystemEntries(folder.Path).ShouldBe([folder.File("q")]);
        var refused = QbbCommands.Run("quantize", s_teacher, "-o", folder.File("o"), "--recipe", Path.Combine(folder.File("q"), "recipe.json"), "--preset", "best");
        refused.Code.ShouldBe(2);
        refused.Error.ShouldContain("--recipe makes every choice");
    }

    [Fact]
    public void Each_mistake_is_named_and_nothing_is_left_behind()
    {
        using var folder = new TemporaryFolder();
        QbbCommands.Run("quantize", s_model, "-o", folder.File("q"), "--bases", "2", "--group", "32", "--preset", "weights", "--json").Code.ShouldBe(0);
        var text = folder.Write("text", string.Concat(Enumerable.Repeat("the cat sat on the mat by the river and the dog ran ", 30)));
        (string[] Arguments, string Says)[] cases =
        [
            (["distill", folder.File("q"), "--teacher", s_model, "-o", folder.File("o")], "either --data or --text"),
            (["distill", folder.File("q"), "--teacher", s_model, "--data", folder.File("q"), "-o", folder.File("o")], "manifest.json"),
            (["distill", folder.File("q"), "--teacher", s_model, "--text", text, "--length", "9999", "-o", folder.File("o")], "--length"),
            (["distill", folder.File("q"), "--teacher", s_model, "--text", text, "--length", "32", "--lr", "9", "--warmup", "0", "--steps", "4", "--batch", "2", "-o", folder.File("o")], "no better than before"),
            (["quantize", s_model, "-o", folder.File("o"), "--group", "32", "--preset", "fast", "--keep", "0.5"], "--keep goes with --preset balanced or best"),
        ];
        foreach (var (arguments, says) in cases)
        {
            var result = QbbCommands.Run(arguments);
            result.Code.ShouldBe(2, string.Join(' ', arguments) + "\n" + result.Error);
            result.Error.ShouldContain(says);
        }
        Directory.EnumerateFileSystemEntries(folder.Path).Select(Path.GetFileName).Order().ShouldBe(["q", "text"]);
        QbbCommands.Run(["distill", folder.File("q"), "--teacher", s_model, "--text", text, "--length", "32", "-o", folder.File("t"), "--steps", "10", .. s_small]).Code.ShouldBe(0);
    }
}
