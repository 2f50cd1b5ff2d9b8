using Qbb.Cli.Tests;

namespace Qbb.Bench.Tests;

/// <summary>That the benchmarks run and say what they measured; never how fast.</summary>
public class BenchTests
{
    [Fact]
    public void Sampling_of_a_shape_is_measured() =>
        Figures("sample", "--shape", "tiny", "--batch", "3", "--length", "12").ShouldContain("sample 3 sequences of 12");

    [Theory]
    [InlineData("kd"), InlineData("ce", "--activation-checkpointing")]
    public void Distillation_of_a_shape_is_measured(string loss, params string[] more) =>
        Figures(["distill", "--shape", "tiny", "--tokens", "8", "--batch", "2", "--steps", "1", "--loss", loss, .. more])
            .ShouldContain("distil N = 2, 2 x 1 sequences of 8");

    [Fact]
    public void First_pages_of_lists_are_measured()
    {
        var result = QbbProcess.Bench(["lists", "--models", "20", "--versions", "100", "--pipelines", "3", "--json"]);
        result.Code.ShouldBe(0, result.Error);
        var figures = result.Json["figures"]!.AsArray().ToDictionary(figure => figure!["what"]!.ToString(), figure => (double)figure!["value"]!);
        figures["/api/models, p95"].ShouldBeGreaterThan(0);
        figures.Keys.Count(what => what.EndsWith("p95", StringComparison.Ordinal)).ShouldBeGreaterThan(10);
    }

    private static List<string> Figures(params string[] args)
    {
        var result = QbbProcess.Bench([.. args, "--device", "cpu", "--json"]);
        result.Code.ShouldBe(0, result.Error);
        foreach (var figure in result.Json["figures"]!.AsArray())
            ((double)figure!["value"]!).ShouldBeGreaterThanOrEqualTo(0, figure["what"]!.ToString());
        return [.. result.Json["figures"]!.AsArray().Select(figure => figure!["what"]!.ToString())];
    }
}
