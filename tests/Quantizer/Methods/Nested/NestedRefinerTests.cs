using Qbb.Models.Generation;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Quantizer.Methods.Nested;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Methods.Nested;

public class NestedRefinerTests
{
    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(5)]
    public void Every_weight_gets_the_code_of_least_cost(int bases)
    {
        var random = new SplitMix64(3);
        for (var trial = 0; trial < 30; trial++)
        {
            var w = Synthetic.Gaussian(64, (ulong)trial + 1);
            var (fit, weights) = Drawn(bases, w.Length, ref random);
            // Levels that coincide, as where a plane is of no use, leave several codes equally good.
            if (trial % 5 == 0)
                fit.Alpha[^1][^1] = 0;
            var refiner = new NestedRefiner(bases, true, 1, Starts.Greedy, w.Length);
            var (scratch, _) = Drawn(bases, w.Length, ref random);
            refiner.Refine(w, [], weights, new byte[w.Length], new byte[w.Length], scratch);
            refiner.Assign(weights, fit);
            var found = ReferenceNested.Objective(w, [], weights, fit);
            ReferenceNested.Assign(w, fit, weights, fit.Codes);
            found.ShouldBe(ReferenceNested.Objective(w, [], weights, fit), 1e-6 * found);
        }
    }

    [Theory]
    [InlineData(3, true, false)]
    [InlineData(4, false, true)]
    public void No_step_raises_the_objective_and_the_last_one_is_a_least_squares(int bases, bool bias, bool weighted)
    {
        for (ulong seed = 1; seed <= 20; seed++)
        {
            var w = seed % 2 == 0 ? Synthetic.Gaussian(48, seed) : Synthetic.StudentT5(48, seed);
            double[] importance = weighted ? [.. Synthetic.Gaussian(48, seed + 100).Select(x => 0.1 + x * x)] : [];
            var weights = Weights(bases);
            var refiner = new NestedRefiner(bases, bias, 15, Starts.Both, w.Length);
            var last = new[] { double.PositiveInfinity, double.PositiveInfinity };
            refiner.Trace = (start, objective) =>
            {
                objective.ShouldBeLessThanOrEqualTo(last[start] * (1 + 1e-9), $"start {start}");
                last[start] = objective;
            };
            var fit = new NestedFit(bases, w.Length);
            var found = refiner.Refine(w, importance, weights, Single(w, bias, importance), Whole(w, bases, bias, importance), fit);
            found.ShouldBe(last.Min(), 1e-12 * found);
            refiner.Assign(weights, fit);
            ReferenceNested.LeastSquares(w, importance, weights, bias, fit).ShouldBeLessThanOrEqualTo(found * (1 + 1e-6));
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Tiny_groups_come_near_the_best_of_all_signs(bool bias)
    {
        const int Length = 5;
        var weights = Weights(2);
        var ratios = new List<double>();
        for (ulong seed = 1; seed <= 40; seed++)
        {
            var w = Synthetic.Gaussian(Length, seed);
            var refiner = new NestedRefiner(2, bias, 15, Starts.Both, Length);
            var fit = new NestedFit(2, Length);
            var found = refiner.Refine(w, [], weights, Single(w, bias, []), Whole(w, 2, bias, []), fit);
            var best = double.PositiveInfinity;
            var trial = new NestedFit(2, Length);
            trial.Resize(Length);
            for (var signs = 0; signs < 1 << 2 * Length; signs++)
            {
                for (var j = 0; j < Length; j++)
                    trial.Codes[j] = (byte)(signs >> 2 * j & 3);
                best = Math.Min(best, ReferenceNested.LeastSquares(w, [], weights, bias, trial));
            }
            found.ShouldBeGreaterThanOrEqualTo(best * (1 - 1e-6));
            ratios.Add(found / best);
        }
        TestContext.Current.TestOutputHelper!.WriteLine(
            $"objective over the best one: mean {ratios.Average():f3}, most {ratios.Max():f3}, {ratios.Count(ratio => ratio < 1.0001)} of {ratios.Count} optimal");
        ratios.Average().ShouldBeLessThan(1.15);
        ratios.Count(ratio => ratio < 1.0001).ShouldBeGreaterThan(10);
    }

    private static double[] Weights(int bases) => [.. Enumerable.Range(0, bases).Select(k => Math.Pow(3, k))];

    private static (NestedFit Fit, double[] Weights) Drawn(int bases, int length, ref SplitMix64 random)
    {
        var fit = new NestedFit(bases, length);
        fit.Resize(length);
        var weights = new double[bases];
        for (var k = 0; k < bases; k++)
        {
            for (var i = 0; i <= k; i++)
                fit.Alpha[k][i] = random.NextGaussian() * Math.Pow(0.5, i);
            fit.Beta[k] = 0.3 * random.NextGaussian();
            weights[k] = random.NextUniform();
        }
        return (fit, weights);
    }

    private static byte[] Single(float[] w, bool bias, double[] importance) => Whole(w, 1, bias, importance);

    /// <summary>The codes of the best decomposition of its own.</summary>
    private static byte[] Whole(float[] w, int bases, bool bias, double[] importance)
    {
        var fit = new GroupFit(bases, w.Length);
        InitialSigns.Cascaded(w, fit, new double[w.Length], new double[bases]);
        new AlternatingRefiner(bases, bias, 15, Starts.Both, w.Length).Refine(w, fit, importance);
        return fit.Codes.ToArray();
    }
}
