using Qbb.Cli.Tests;

namespace Qbb.Bench.Tests;

public class BenchDecomposeTests
{
    [Fact]
    public void Random_weights_of_a_shape_are_decomposed_and_counted()
    {
        var json = QbbProcess.Bench("decompose", "--shape", "tiny", "--bases", "2", "--group", "32", "--device", "cpu", "--blocks", "1", "--json").Json;
        ((long)json["allWeights"]!).ShouldBe(2 * (long)json["weights"]!);
        ((double)json["seconds"]!).ShouldBeGreaterThan(0);
        ((double)json["wholeModelSeconds"]!).ShouldBe(2 * (double)json["seconds"]!, 1e-9);
        // Groups of 32 Gaussian weights fit better than the table's 128.
        ((double)json["relativeError"]!).ShouldBeInRange(0.07, 0.1131);
    }

    [Fact]
    public void With_importance_random_tokens_run_through_the_model()
    {
        var json = QbbProcess.Bench(
            "decompose", "--shape", "tiny", "--bases", "2", "--group", "32", "--device", "cpu", "--importance", "full", "--tokens", "512",
            "--length", "32", "--blocks", "2", "--json").Json;
        ((long)json["weights"]!).ShouldBe((long)json["allWeights"]!);
        var steps = json["relativeOutputErrorAfterStep"]!.AsArray().Select(step => (double)step!).ToArray();
        steps.Length.ShouldBe(7);
        steps.ShouldBe(steps.OrderDescending());
        steps[^1].ShouldBeInRange(1e-4, 0.2);
    }

    [Fact]
    public void Fewer_tokens_than_a_sequence_has_are_refused()
    {
        var result = QbbProcess.Bench("decompose", "--shape", "tiny", "--device", "cpu", "--importance", "full", "--tokens", "10", "--length", "32");
        result.Code.ShouldBe(2);
        result.Error.ShouldContain("--tokens is 10");
    }
}
