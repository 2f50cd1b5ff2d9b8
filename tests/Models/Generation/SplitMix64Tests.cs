using Qbb.Models.Generation;

namespace Qbb.Models.Tests.Generation;

public class SplitMix64Tests
{
    [Fact]
    public void Numbers_are_those_of_the_published_generator()
    {
        // The reference implementation's first outputs for the seed 1234567.
        var random = new SplitMix64(1234567);
        random.Next().ShouldBe(6457827717110365317UL);
        random.Next().ShouldBe(3203168211198807973UL);
    }

    [Fact]
    public void Places_have_generators_of_their_own()
    {
        var first = Enumerable.Range(0, 1000).Select(place => SplitMix64.For(0, (ulong)place).Next()).ToList();
        first.Distinct().Count().ShouldBe(1000);
        SplitMix64.For(1, 0).Next().ShouldNotBe(first[0]);
        SplitMix64.For(0, 7).Next().ShouldBe(first[7]);
    }

    [Fact]
    public void Uniform_numbers_lie_below_one()
    {
        var random = new SplitMix64(3);
        var numbers = Enumerable.Range(0, 10_000).Select(_ => random.NextUniform()).ToList();
        numbers.ShouldAllBe(number => number >= 0 && number < 1);
        numbers.Average().ShouldBe(0.5, 0.02);
    }

    [Fact]
    public void Gaussian_numbers_have_the_moments_of_the_law()
    {
        var random = SplitMix64.For(4, 1, 2);
        var numbers = Enumerable.Range(0, 100_000).Select(_ => random.NextGaussian()).ToList();
        numbers.Average().ShouldBe(0, 0.02);
        numbers.Average(number => number * number).ShouldBe(1, 0.03);
        numbers.Average(number => number * number * number * number).ShouldBe(3, 0.2);
        SplitMix64.For(4, 2, 1).NextGaussian().ShouldNotBe(numbers[0]);
    }
}
