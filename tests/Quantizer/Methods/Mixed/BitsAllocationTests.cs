using Qbb.Models;
using Qbb.Models.Generation;
using Qbb.Quantizer.Methods.Mixed;

namespace Qbb.Quantizer.Tests.Methods.Mixed;

public class BitsAllocationTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(100)]
    [InlineData(1_000_000)]
    public void The_choice_is_the_best_of_all(long scale)
    {
        var random = new SplitMix64(5);
        for (var trial = 0; trial < 200; trial++)
        {
            var layers = Draw(ref random, 2 + (int)(random.Next() % 4), scale);
            var (least, most) = (layers.Sum(options => options.Min(option => option.Cost)), layers.Sum(options => options.Max(option => option.Cost)));
            var budget = least + (long)(random.NextUniform() * 1.1 * (most - least));
            var found = BitsAllocation.Solve(layers, budget);
            Cost(layers, found).ShouldBeLessThanOrEqualTo(budget);
            // Units are exact here: costs share a divisor.
            Loss(layers, found).ShouldBe(BruteForce(layers, budget), 1e-12, $"trial {trial}");
        }
    }

    [Fact]
    public void Costs_without_a_common_divisor_keep_the_budget_and_waste_little()
    {
        var random = new SplitMix64(6);
        var layers = Enumerable.Range(0, 8).Select(_ =>
        {
            var size = 1_000_003 + (long)(random.NextUniform() * 10_000_019);
            return (IReadOnlyList<LayerOption>)Enumerable.Range(1, 4).Select(n => new LayerOption(n * size, 1.0 / (n * n) * random.NextUniform())).ToArray();
        }).ToArray();
        var budget = layers.Sum(options => options[0].Cost) * 5 / 2;
        var found = BitsAllocation.Solve(layers, budget);
        Cost(layers, found).ShouldBeLessThanOrEqualTo(budget);
        var slack = (long)(budget / (double)BitsAllocation.MostUnits * layers.Length);
        Loss(layers, found).ShouldBeLessThanOrEqualTo(BruteForce(layers, budget - slack) + 1e-12);
    }

    [Fact]
    public void A_budget_that_is_too_small_is_refused_and_one_that_is_large_buys_the_best()
    {
        IReadOnlyList<LayerOption>[] layers = [[new(2, 1), new(3, 0.5), new(4, 0.4)], [new(5, 1), new(6, 2)]];
        Should.Throw<InvalidInputException>(() => BitsAllocation.Solve(layers, 6)).Message.ShouldContain("costs 7");
        BitsAllocation.Solve(layers, 7).ShouldBe([0, 0]);
        BitsAllocation.Solve(layers, long.MaxValue / 4).ShouldBe([2, 0]);
    }

    private static IReadOnlyList<LayerOption>[] Draw(ref SplitMix64 random, int count, long scale)
    {
        var layers = new IReadOnlyList<LayerOption>[count];
        for (var layer = 0; layer < count; layer++)
        {
            var options = new LayerOption[1 + random.Next() % 4];
            for (var place = 0; place < options.Length; place++)
                options[place] = new LayerOption((long)(1 + random.Next() % 40) * scale, random.NextUniform());
            layers[layer] = options;
        }
        return layers;
    }

    private static long Cost(IReadOnlyList<LayerOption>[] layers, int[] chosen) => layers.Zip(chosen, (options, place) => options[place].Cost).Sum();

    private static double Loss(IReadOnlyList<LayerOption>[] layers, int[] chosen) => layers.Zip(chosen, (options, place) => options[place].Loss).Sum();

    private static double BruteForce(IReadOnlyList<LayerOption>[] layers, long budget)
    {
        if (layers.Length == 0)
            return budget >= 0 ? 0 : double.PositiveInfinity;
        return layers[0].Min(option => option.Loss + BruteForce(layers[1..], budget - option.Cost));
    }
}
