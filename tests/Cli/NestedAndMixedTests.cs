using Qbb.Tests;

namespace Qbb.Cli.Tests;

/// <summary>Models within a model, and N layer by layer, through the front door.</summary>
public class NestedAndMixedTests
{
    private static readonly string s_model = Reference.Path("gguf", "narrow-F16.gguf");
    private static readonly string s_text = string.Concat(Enumerable.Repeat("the cat sat on the mat by the river and the dog ran ", 30));

    [Fact]
    public void Every_n_of_a_nested_model_is_scored_generated_from_and_exported()
    {
        using var folder = new TemporaryFolder();
        var (text, nested) = (folder.Write("text", s_text), folder.File("q"));
        var made = QbbCommands.Run("quantize", s_model, "-o", nested, "-n", "3", "-g", "32", "--nested", "--preset", "weights", "--json");
        made.Code.ShouldBe(0, made.Error);
        var errors = made.Json["errorPerBase"]!.AsArray().Select(error => (double)error!).ToArray();
        errors.ShouldBe(errors.OrderDescending());
        made.Json["ownErrorPerBase"]!.AsArray().Count.ShouldBe(3);
        var divergences = new List<double>();
        foreach (var n in new[] { "1", "2", "3" })
        {
            var score = QbbCommands.Run("eval", nested, "--bases", n, "--teacher", s_model, "--text", text, "--context", "64", "--json");
            score.Code.ShouldBe(0, score.Error);
            divergences.Add((double)score.Json["kl"]!);
            ((double)score.Json["bitsPerWeight"]!).ShouldBe(int.Parse(n) + 16 * (int.Parse(n) + 1) / 32.0, 1e-9);
        }
        divergences.ShouldBe(divergences.OrderDescending());
        var whole = QbbCommands.Run("eval", nested, "--teacher", s_model, "--text", text, "--context", "64", "--json").Json;
        ((double)whole["kl"]!).ShouldBe(divergences[2]);
        ((double)whole["bitsPerWeight"]!).ShouldBe(3 + 16 * (1 + 2 + 3 + 3) / 32.0, 1e-9);

        QbbCommands.Run("export", nested, "--bases", "2", "--format", "fp32", "-o", folder.File("e"), "--json").Code.ShouldBe(0);
        ((double)QbbCommands.Run("eval", folder.File("e"), "--teacher", s_model, "--text", text, "--context", "64", "--json").Json["kl"]!).ShouldBe(divergences[1], 1e-5);
        string[] prompt = ["--prompt", "the cat", "--temperature", "0", "--tokens", "8", "--json"];
        var exported = QbbCommands.Run(["generate", folder.File("e"), .. prompt]);
        QbbCommands.Run(["generate", nested, "--bases", "2", .. prompt]).Json["samples"]!.ToJsonString().ShouldBe(exported.Json["samples"]!.ToJsonString());
    }

    [Fact]
    public void Bits_are_spent_layer_by_layer_and_what_was_measured_can_be_used_again()
    {
        using var folder = new TemporaryFolder();
        var text = folder.Write("text", s_text);
        string[] choices = ["-g", "32", "--text", text, "--calibration-context", "16", "--bits", "4.9", "--sensitivity", folder.File("s"), "--json"];
        // Each in a process of its own: another test may change the threads of libtorch, and with them the last bits of its sums.
        var made = QbbProcess.Run(["quantize", s_model, "-o", folder.File("q"), .. choices]);
        made.Code.ShouldBe(0, made.Error);
        ((double)made.Json["bitsPerParameter"]!).ShouldBeInRange(4.4, 4.9);
        var again = QbbProcess.Run(["quantize", s_model, "-o", folder.File("r"), .. choices]);
        again.Code.ShouldBe(0, again.Error);
        foreach (var file in Directory.GetFiles(folder.File("q")))
            File.ReadAllBytes(Path.Combine(folder.File("r"), Path.GetFileName(file))).SequenceEqual(File.ReadAllBytes(file)).ShouldBeTrue(file);
        QbbCommands.Run("eval", folder.File("q"), "--teacher", s_model, "--text", text, "--context", "64", "--json").Code.ShouldBe(0);
        QbbCommands.Run("inspect", folder.File("q")).Code.ShouldBe(0);
    }

    [Theory]
    [InlineData("--bits 5 --preset weights", "--preset fast")]
    [InlineData("--bits 5 --size 200kB", "either --size or --bits")]
    [InlineData("--size many", "give a size such as 80MB")]
    [InlineData("--bits 5 --bases 3 --text TEXT", "leave out --bases")]
    [InlineData("--bits 0.5 --text TEXT --calibration-context 16", "less than this model can take")]
    [InlineData("--size 200kB --bases-range 4-1 --text TEXT", "the first below the second")]
    [InlineData("--bases-range 1-4", "goes with --size or --bits")]
    [InlineData("--bits 5 --nested --text TEXT --calibration-context 16", "does not go together")]
    [InlineData("--nested --bases 1", "no smaller model")]
    [InlineData("--nested --preset balanced", "does not go together")]
    public void Choices_that_do_not_go_together_are_refused(string options, string named)
    {
        using var folder = new TemporaryFolder();
        var text = folder.Write("text", s_text);
        var result = QbbCommands.Run(["quantize", s_model, "-o", folder.File("q"), "-g", "32", .. options.Replace("TEXT", text).Split(' '), "--json"]);
        result.Code.ShouldBe(2, result.Error);
        result.Error.ShouldContain(named);
        Directory.GetFileSystemEntries(folder.Path).ShouldBe([text]);
    }

    [Fact]
    public void Models_without_smaller_ones_within_are_named()
    {
        using var folder = new TemporaryFolder();
        var text = folder.Write("text", s_text);
        QbbCommands.Run("quantize", s_model, "-o", folder.File("q"), "-n", "3", "-g", "32", "--preset", "weights", "--json").Code.ShouldBe(0);
        foreach (var (model, says) in new[] { (folder.File("q"), "without --nested"), (s_model, "not quantized by qbb") })
        {
            var result = QbbCommands.Run("eval", model, "--bases", "2", "--text", text, "--context", "64", "--json");
            result.Code.ShouldBe(2);
            result.Error.ShouldContain(says);
        }
        QbbCommands.Run("quantize", s_model, "-o", folder.File("n"), "-n", "2", "-g", "32", "--nested", "--preset", "weights", "--json").Code.ShouldBe(0);
        QbbCommands.Run("eval", folder.File("n"), "--bases", "3", "--text", text, "--context", "64", "--json").Error.ShouldContain("1 to 2");
        var distilled = QbbCommands.Run("distill", folder.File("n"), "--teacher", s_model, "--text", text, "--length", "32", "-o", folder.File("d"));
        distilled.Code.ShouldBe(2);
        distilled.Error.ShouldContain("without --nested");
    }
}
