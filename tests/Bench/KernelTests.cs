using Qbb.Cli.Tests;

namespace Qbb.Bench.Tests;

public class KernelTests
{
    [Fact]
    public void All_kernels_and_all_that_was_tried_agree_with_the_reference()
    {
        var result = QbbProcess.Bench(
            "kernels", "--device", "cpu", "--out", "96", "--in", "256", "--bases", "1", "3", "--tokens", "1", "5",
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

    [Theory]
    [InlineData("--tokens", "--device", "cpu", "--tokens", "0")]
    [InlineData("--out", "--device", "cpu", "--out", "8")]
    [InlineData("--in", "--device", "cpu", "--in", "200", "--out", "64", "--ladder")]
    public void What_cannot_be_done_is_named(string says, params string[] arguments)
    {
        var result = QbbProcess.Bench(["kernels", .. arguments]);
        result.Code.ShouldBe(2, result.Error);
        (result.Error + result.Out).ShouldContain(says);
    }
}
