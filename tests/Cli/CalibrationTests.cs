using Qbb.Tests;

namespace Qbb.Cli.Tests;

/// <summary>qbb quantize with data.</summary>
public class CalibrationTests
{
    private static readonly string s_model = Reference.Path("gguf", "narrow-F16.gguf");
    private static readonly string s_teacher = Reference.Path("architectures", "llama-gqa-tied");

    [Fact]
    public void A_model_is_calibrated_on_text_and_on_data_that_it_sampled()
    {
        using var folder = new TemporaryFolder();
        var text = folder.Write("text", string.Concat(Enumerable.Repeat("the cat sat on the mat by the river and the dog ran ", 30)));
        string[] choices = ["-n", "2", "-g", "32", "--json"];
        var onText = QbbCommands.Run(["quantize", s_model, .. choices, "-o", folder.File("t"), "--text", text, "--calibration-context", "16"]);
        onText.Code.ShouldBe(0, onText.Error);
        ((double)onText.Json["relativeOutputError"]!).ShouldBeInRange(1e-6, 0.3);
        ((long)onText.Json["calibrationTokens"]! % 16).ShouldBe(0);

        QbbCommands.Run("sample", s_teacher, "-o", folder.File("data"), "--sequences", "24", "--length", "24", "--max-repetition", "1").Code.ShouldBe(0);
        var onData = QbbCommands.Run(
            ["quantize", s_teacher, .. choices, "-o", folder.File("d"), "--calibration", folder.File("data"), "--activations", folder.File("a")]);
        onData.Code.ShouldBe(0, onData.Error);
        ((double)onData.Json["relativeOutputError"]!).ShouldBeInRange(1e-6, 0.3);

        var f32 = Reference.Path("gguf", "narrow-F32.gguf");
        var other = QbbCommands.Run("quantize", f32, "-o", folder.File("o"), "--calibration", folder.File("data"), "--json");
        other.Code.ShouldNotBe(0);
        other.Error.ShouldContain("another model");
    }

    [Theory]
    [InlineData("--preset weights --importance full", "--importance")]
    [InlineData("--calibration-context 16", "--text")]
    [InlineData("--calibration-sequences 16", "--calibration or --text")]
    [InlineData("--calibration a --text b", "either")]
    [InlineData("--preset balanced --calibration a", "leave one of them out")]
    [InlineData("--calibration /no/such/data", "no such folder")]
    public void Choices_that_do_not_go_together_are_refused(string options, string named)
    {
        using var folder = new TemporaryFolder();
        var result = QbbCommands.Run(["quantize", s_model, "-o", folder.File("q"), .. options.Split(' '), "--json"]);
        result.Code.ShouldNotBe(0);
        result.Error.ShouldContain(named);
        Directory.GetFileSystemEntries(folder.Path).ShouldBeEmpty();
    }
}
