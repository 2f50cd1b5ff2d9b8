using Qbb.Tests;

namespace Qbb.Cli.Tests;

public class IntegerTests
{
    private static readonly string s_model = Reference.Path("gguf", "narrow-F16.gguf");

    [Fact]
    public void Sums_of_integers_change_the_score_a_little()
    {
        using var folder = new TemporaryFolder();
        var text = folder.Write("text", string.Concat(Enumerable.Repeat("the cat sat on the mat by the river and the dog ran ", 30)));
        QbbCommands.Run("quantize", s_model, "-o", folder.File("q"), "--bases", "3", "--group", "32", "--preset", "weights").Code.ShouldBe(0);
        double Score(params string[] more) =>
            (double)QbbCommands.Run(["eval", folder.File("q"), "--text", text, "--context", "32", "--json", .. more]).Json["perplexity"]!;
        var floats = Score();
        foreach (var option in new[] { "--integer", "--integer=token", "--integer=group" })
        {
            var integers = Score(option);
            integers.ShouldNotBe(floats);
            (integers / floats).ShouldBe(1, 0.05);
        }
        QbbCommands.Run("generate", folder.File("q"), "--prompt", "the cat", "-n", "4", "--integer", "--json").Code.ShouldBe(0);
    }

    [Theory]
    [InlineData("--integer", "generate", "MODEL", "--integer=row")]
    [InlineData("--integer", "generate", "MODEL", "--prompt", "x", "--integer")]
    public void What_cannot_be_done_is_named(string says, params string[] arguments)
    {
        var result = QbbCommands.Run([.. arguments.Select(argument => argument == "MODEL" ? s_model : argument)]);
        result.Code.ShouldBe(2, result.Error);
        (result.Error + result.Out).ShouldContain(says);
    }
}
