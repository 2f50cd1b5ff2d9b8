using Qbb.Models.Generation;

namespace Qbb.Models.Tests.Generation;

/// <summary>Against <see cref="Sampler"/>, the plain form: same numbers in, same tokens out.</summary>
public class BatchSamplerTests(ITestOutputHelper output)
{
    private const int Vocabulary = 700;

    [Theory]
    [InlineData(0.0, 0, 1.0)]
    [InlineData(1.0, 0, 1.0)]
    [InlineData(0.3, 0, 1.0)]
    [InlineData(1.5, 40, 1.0)]
    [InlineData(1.0, 0, 0.9)]
    [InlineData(0.8, 50, 0.5)]
    [InlineData(1.0, 5000, 1.0)]
    [InlineData(1.0, 1, 0.0001)]
    [InlineData(1.0, 0, 1.0, 0.1)]
    [InlineData(1.3, 60, 0.8, 0.3)]
    public void Tokens_are_those_of_the_plain_sampler(double temperature, int topK, double topP, double minP = 0)
    {
        const int seed = 5, rows = 48, steps = 12;
        var random = new Random(seed);
        var options = new GenerationOptions { Temperature = temperature, TopK = topK, TopP = topP, MinP = minP };
        var plain = Enumerable.Range(0, rows).Select(row => new Sampler(options, (ulong)row)).ToArray();
        var numbers = Enumerable.Range(0, rows).Select(row => new Sampler(options, (ulong)row)).ToArray();
        var other = 0;
        for (var step = 0; step < steps; step++)
        {
            using var scope = torch.NewDisposeScope();
            var logits = Enumerable.Range(0, rows * Vocabulary).Select(_ => (float)(random.NextDouble() * 8)).ToArray();
            var drawn = new BatchSampler(options).Next(torch.tensor(logits, rows, Vocabulary), [.. numbers.Select(sampler => sampler.Uniform())]);
            for (var row = 0; row < rows; row++)
                other += plain[row].Next(logits.AsSpan(row * Vocabulary, Vocabulary)) == drawn[row] ? 0 : 1;
        }
        output.WriteLine($"seed {seed}: {other} of {rows * steps} tokens differ; a draw within a rounding error of a border may");
        other.ShouldBeLessThanOrEqualTo(1);
    }

    [Fact]
    public void Equal_logits_are_taken_in_order_of_their_ids()
    {
        using var scope = torch.NewDisposeScope();
        var logits = torch.tensor([2f, 5f, 5f, 5f, 1f], 1, 5);
        new BatchSampler(new GenerationOptions { Temperature = 0 }).Next(logits, [0.9]).ShouldBe([1]);
        new BatchSampler(new GenerationOptions { TopK = 2 }).Next(logits, [0.999]).ShouldBe([2]);
    }

    [Fact]
    public void Forbidden_tokens_are_never_drawn_at_either_end_of_the_numbers()
    {
        using var scope = torch.NewDisposeScope();
        var logits = torch.tensor([float.NegativeInfinity, 0f, float.NegativeInfinity], 1, 3);
        var sampler = new BatchSampler(new GenerationOptions());
        sampler.Next(logits, [0.0]).ShouldBe([1]);
        sampler.Next(logits, [Math.BitDecrement(1.0)]).ShouldBe([1]);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void Logits_that_are_not_numbers_are_refused(float value)
    {
        using var scope = torch.NewDisposeScope();
        foreach (var temperature in new[] { 0.0, 1.0 })
        {
            Should.Throw<InvalidInputException>(() => new BatchSampler(new GenerationOptions { Temperature = temperature }).Next(torch.tensor([0f, 1f, value, 0f], 2, 2), [0.5, 0.5]))
                .Message.ShouldContain("not numbers");
        }
    }
}
