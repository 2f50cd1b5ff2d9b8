using Qbb.Models.Generation;

namespace Qbb.Models.Tests.Generation;

public class SamplerTests(ITestOutputHelper output)
{
    private static readonly float[] Logits = [1, 3, -2, 2.5f, 0, 2];

    [Theory]
    [InlineData(1.0, 0, 1.0)]
    [InlineData(0.5, 0, 1.0)]
    [InlineData(2.0, 3, 1.0)]
    [InlineData(1.0, 0, 0.8)]
    [InlineData(1.0, 4, 0.9)]
    [InlineData(1.0, 100, 1.0)]
    [InlineData(1.0, 0, 1.0, 0.3)]
    [InlineData(2.0, 4, 0.9, 0.7)]
    public void Frequencies_agree_with_probabilities(double temperature, int topK, double topP, double minP = 0)
    {
        const int draws = 40_000;
        const ulong seed = 17;
        var sampler = new Sampler(new GenerationOptions { Temperature = temperature, TopK = topK, TopP = topP, MinP = minP }, seed);
        var counts = new int[Logits.Length];
        for (var draw = 0; draw < draws; draw++)
            counts[sampler.Next(Logits)]++;
        var expected = Probabilities(temperature, topK, topP, minP);
        for (var id = 0; id < counts.Length; id++)
        {
            output.WriteLine($"seed {seed}, token {id}: {counts[id] / (double)draws:F4}, expected {expected[id]:F4}");
            // Five standard deviations.
            ((double)counts[id] / draws).ShouldBe(expected[id], 5 * Math.Sqrt(expected[id] * (1 - expected[id]) / draws) + 1e-12);
        }
    }

    [Fact]
    public void Temperature_zero_takes_the_first_of_the_likeliest() =>
        new Sampler(new GenerationOptions { Temperature = 0 }, 1).Next([1, 5, 5, 2]).ShouldBe(1);

    [Fact]
    public void A_seed_gives_the_same_tokens_again()
    {
        Draw(1).ShouldBe(Draw(1));
        Draw(1).ShouldNotBe(Draw(2));

        int[] Draw(ulong seed)
        {
            var sampler = new Sampler(new GenerationOptions(), seed);
            return [.. Enumerable.Range(0, 50).Select(_ => sampler.Next(Logits))];
        }
    }

    [Fact]
    public void A_forbidden_token_is_never_drawn()
    {
        var sampler = new Sampler(new GenerationOptions { Temperature = 10 }, 3);
        for (var draw = 0; draw < 1000; draw++)
            sampler.Next([0, float.NegativeInfinity, 0]).ShouldNotBe(1);
    }

    [Fact]
    public void NaN_is_refused() =>
        Should.Throw<InvalidInputException>(() => new Sampler(new GenerationOptions(), 1).Next([0, float.NaN])).Message.ShouldContain("token 1");

    [Theory]
    [InlineData(-1, 1.0, 0, 1.0, "max tokens")]
    [InlineData(1, -0.5, 0, 1.0, "temperature")]
    [InlineData(1, double.NaN, 0, 1.0, "temperature")]
    [InlineData(1, 1.0, -1, 1.0, "top-k")]
    [InlineData(1, 1.0, 0, 0.0, "top-p")]
    [InlineData(1, 1.0, 0, 1.5, "top-p")]
    [InlineData(1, 1.0, 0, 1.0, "min-p", -0.1)]
    [InlineData(1, 1.0, 0, 1.0, "min-p", 1.5)]
    [InlineData(1, 1.0, 0, 1.0, "repetition penalty", 0, 0.0)]
    [InlineData(1, 1.0, 0, 1.0, "repetition penalty", 0, double.NaN)]
    public void Options_out_of_range_are_named(int maxTokens, double temperature, int topK, double topP, string named, double minP = 0, double penalty = 1) =>
        Should.Throw<InvalidInputException>(() => new GenerationOptions
        {
            MaxTokens = maxTokens,
            Temperature = temperature,
            TopK = topK,
            TopP = topP,
            MinP = minP,
            RepetitionPenalty = penalty,
        }.Validate()).Message.ShouldContain(named);

    /// <summary>The textbook order of steps: divide, keep k, keep the nucleus, drop those far below the likeliest, normalise.</summary>
    private static double[] Probabilities(double temperature, int topK, double topP, double minP)
    {
        var weights = Logits.Select(logit => Math.Exp(logit / temperature)).ToArray();
        var order = Enumerable.Range(0, weights.Length).OrderByDescending(id => weights[id]).Take(topK == 0 ? weights.Length : topK).ToList();
        var total = order.Sum(id => weights[id]);
        var kept = new List<int>();
        foreach (var id in order)
        {
            if (kept.Sum(other => weights[other]) < topP * total)
                kept.Add(id);
        }
        kept.RemoveAll(id => weights[id] < minP * weights[order[0]]);
        return [.. weights.Select((weight, id) => kept.Contains(id) ? weight / kept.Sum(other => weights[other]) : 0)];
    }
}
