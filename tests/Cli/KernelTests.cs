using Qbb.Tests;

namespace Qbb.Cli.Tests;

public class KernelTests
{
    private static readonly string s_model = Reference.Path("gguf", "narrow-F16.gguf");

    [Fact]
    public void All_kernels_and_all_that_was_tried_agree_with_the_reference()
    {
        var result = QbbProcess.Run(
            "bench", "kernels", "--device", "cpu", "--out", "96", "--in", "256", "--bases", "1", "3", "--tokens", "1", "5",
            "--repeats", "1", "--ladder", "--json");
        result.Code.ShouldBe(0, result.Error);
        var figures = result.Json["figures"]!.AsArray();
        figures.ShouldContain(figure => figure!["what"]!.ToString() == "portable float");
        foreach (var figure in figures.Where(figure => figure!["bases"]!.GetValue<int>() > 0))
        {
            var what = figure!["what"]!.ToString();
            // int8 inputs, or tables in 16 bits, or floats.
            var tolerance = what.Contains("integer") || what.Contains("dot") ? 3e-2 : what.Contains("byte") ? 3e-3 : 1e-5;
            figure["error"]!.GetValue<double>().ShouldBeInRange(0, tolerance, what);
        }
    }

    [Fact]
    public void Sums_of_integers_change_the_score_a_little()
    {
        using var folder = new TemporaryFolder();
        var text = folder.Write("text", string.Concat(Enumerable.Repeat("the cat sat on the mat by the river and the dog ran ", 30)));
        QbbProcess.Run("quantize", s_model, "-o", folder.File("q"), "--bases", "3", "--group", "32").Code.ShouldBe(0);
        double Score(params string[] more) =>
            (double)QbbProcess.Run(["eval", folder.File("q"), "--text", text, "--context", "32", "--json", .. more]).Json["perplexity"]!;
        var floats = Score();
        foreach (var option in new[] { "--integer", "--integer=token", "--integer=group" })
        {
            var integers = Score(option);
            integers.ShouldNotBe(floats);
            (integers / floats).ShouldBe(1, 0.05);
        }
        QbbProcess.Run("generate", folder.File("q"), "--prompt", "the cat", "-n", "4", "--integer", "--json").Code.ShouldBe(0);
    }

    [Theory]
    [InlineData("--integer", "generate", "MODEL", "--integer=row")]
    [InlineData("--integer", "generate", "MODEL", "--prompt", "x", "--integer")]
    [InlineData("--tokens", "bench", "kernels", "--device", "cpu", "--tokens", "0")]
    [InlineData("--out", "bench", "kernels", "--device", "cpu", "--out", "8")]
    [InlineData("--in", "bench", "kernels", "--device", "cpu", "--in", "200", "--out", "64", "--ladder")]
    public void What_cannot_be_done_is_named(string says, params string[] arguments)
    {
        var result = QbbProcess.Run([.. arguments.Select(argument => argument == "MODEL" ? s_model : argument)]);
        result.Code.ShouldBe(2, result.Error);
        (result.Error + result.Out).ShouldContain(says);
    }
}
