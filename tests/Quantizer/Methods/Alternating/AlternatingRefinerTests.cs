using Qbb.Models.Generation;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Methods.Alternating;

public class AlternatingRefinerTests
{
    [Theory]
    [InlineData(1, 5)]
    [InlineData(2, 33)]
    [InlineData(3, 64)]
    [InlineData(4, 128)]
    [InlineData(4, 200)]
    [InlineData(5, 128)]
    [InlineData(8, 40)]
    public void Equals_the_plain_form(int bases, int length)
    {
        foreach (var bias in new[] { false, true })
        {
            foreach (var starts in Enum.GetValues<Starts>())
            {
                foreach (var rounds in new[] { 0, 1, 4, 15 })
                {
                    if (rounds == 0 && starts != Starts.Greedy)
                        continue;
                    var w = Synthetic.StudentT5(length, (ulong)(length + rounds));
                    var fast = Greedy(w, bases);
                    var plain = Greedy(w, bases);
                    var squares = w.Sum(value => (double)value * value);
                    var objective = new AlternatingRefiner(bases, bias, rounds, starts, length).Refine(w, fast);
                    var expected = ReferenceAlternating.Refine(w, plain, bias, rounds, starts);

                    var label = $"bias {bias}, starts {starts}, rounds {rounds}";
                    // More levels than weights leave the equations singular: there only the objective is determined.
                    (objective / squares).ShouldBe(expected / squares, bases < 8 ? 1e-9 : 1e-4, label);
                    if (bases >= 8)
                        continue;
                    Difference(fast, plain).ShouldBeLessThan(1e-5, label);
                }
            }
        }
    }

    [Theory]
    [InlineData(1, 5)]
    [InlineData(3, 64)]
    [InlineData(4, 131)]
    public void Equals_the_plain_form_where_errors_differ_in_importance(int bases, int length)
    {
        foreach (var bias in new[] { false, true })
        {
            foreach (var starts in Enum.GetValues<Starts>())
            {
                var refiner = new AlternatingRefiner(bases, bias, 15, starts, length);
                for (ulong seed = 0; seed < 4; seed++)
                {
                    var w = Synthetic.StudentT5(length, seed);
                    var importance = Array.ConvertAll(Synthetic.Gaussian(length, seed + 100), value => Math.Exp(2 * value));
                    var fast = Greedy(w, bases);
                    var plain = Greedy(w, bases);
                    var squares = w.Zip(importance, (value, h) => h * value * value).Sum();
                    var objective = refiner.Refine(w, fast, importance);
                    var expected = ReferenceAlternating.Refine(w, plain, bias, 15, starts, importance);
                    (objective / squares).ShouldBe(expected / squares, 1e-9, $"bias {bias}, starts {starts}, seed {seed}");
                    Difference(fast, plain).ShouldBeLessThan(1e-5, $"bias {bias}, starts {starts}, seed {seed}");
                }
            }
        }
    }

    [Fact]
    public void No_round_raises_the_error()
    {
        for (ulong seed = 0; seed < 50; seed++)
        {
            var w = Synthetic.StudentT5(96, seed);
            var last = new Dictionary<int, double>();
            var refiner = new AlternatingRefiner(1 + (int)(seed % 6), seed % 2 == 0, 15, Starts.Both, 96)
            {
                Trace = (start, round, objective) =>
                {
                    if (last.TryGetValue(start, out var before))
                        objective.ShouldBeLessThanOrEqualTo(before + 1e-9, $"start {start}, round {round}");
                    last[start] = objective;
                },
            };
            refiner.Refine(w, Greedy(w, 1 + (int)(seed % 6)));
            last.Count.ShouldBe(1 + UniformStart.Clips.Length);
        }
    }

    [Fact]
    public void The_objective_is_that_of_the_fit_or_better()
    {
        for (ulong seed = 0; seed < 50; seed++)
        {
            var w = Synthetic.Gaussian(77, seed);
            var fit = Greedy(w, 3);
            var objective = new AlternatingRefiner(3, true, 5, Starts.Both, 77).Refine(w, fit);
            // The signs are set once more after the last least squares.
            ReferenceAlternating.SquaredError(w, fit.Codes, fit.Alpha, fit.Beta).ShouldBeLessThanOrEqualTo(objective * (1 + 1e-9));
        }
    }

    /// <summary>
    /// The best error over all sign matrices, by trying them. Alternating refinement is a local search: over these 100 groups it adds some
    /// percent to the summed error, greedy signs with least squares more.
    /// </summary>
    [Theory]
    [InlineData(1, false, 1.01, 1.01)]
    [InlineData(1, true, 1.03, 1.7)]
    [InlineData(2, false, 1.15, 1.5)]
    [InlineData(2, true, 1.1, 5)]
    public void Comes_near_the_best_of_all_sign_matrices(int bases, bool bias, double factor, double greedyFactor)
    {
        double best = 0, found = 0, greedy = 0;
        for (ulong seed = 0; seed < 100; seed++)
        {
            var length = 4 + (int)(seed % 3);
            var w = Synthetic.Gaussian(length, 1000 + seed);
            var least = BruteForce(w, bases, bias);
            var fit = Greedy(w, bases);
            var one = new AlternatingRefiner(bases, bias, 15, Starts.Both, length).Refine(w, fit);
            one.ShouldBeGreaterThan(least - 1e-8);
            var codes = Greedy(w, bases).Codes.ToArray();
            var alpha = new double[bases];
            var beta = ReferenceAlternating.LeastSquares(w, codes, bias, alpha);
            var start = ReferenceAlternating.SquaredError(w, codes, alpha, beta);
            one.ShouldBeLessThanOrEqualTo(start + 1e-9);
            (best, found, greedy) = (best + least, found + one, greedy + start);
        }
        TestContext.Current.TestOutputHelper!.WriteLine(
            $"best {best:f4}, alternating × {found / best:f3} (at most {factor}), greedy + LS × {greedy / best:f3}");
        (found / best).ShouldBeLessThan(factor);
        (greedy / best).ShouldBeLessThan(greedyFactor);
    }

    [Fact]
    public void Weights_on_a_uniform_grid_are_found_exactly()
    {
        for (ulong seed = 0; seed < 20; seed++)
        {
            var random = new SplitMix64(seed);
            var (offset, step) = (random.NextGaussian(), random.NextUniform());
            var w = new float[32];
            for (var j = 0; j < w.Length; j++)
                w[j] = (float)(offset + (j == 0 ? 0 : j == 1 ? 15 : random.Next() % 16) * step);
            var fit = Greedy(w, 4);
            var error = new AlternatingRefiner(4, true, 15, Starts.Both, 32).Refine(w, fit);
            (error / w.Sum(value => value * value)).ShouldBeLessThan(1e-12);
            fit.Alpha[0].ShouldBe(4 * step, 1e-5);
        }
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(-3f)]
    public void A_group_of_equal_weights_is_exact(float value)
    {
        var w = Enumerable.Repeat(value, 19).ToArray();
        foreach (var bias in new[] { false, true })
        {
            var fit = Greedy(w, 4);
            new AlternatingRefiner(4, bias, 15, Starts.Both, 19).Refine(w, fit).ShouldBe(0, 1e-8);
            ReferenceAlternating.SquaredError(w, fit.Codes, fit.Alpha, fit.Beta).ShouldBe(0, 1e-8);
        }
    }

    private static GroupFit Greedy(float[] w, int bases)
    {
        var fit = new GroupFit(bases, w.Length);
        InitialSigns.Cascaded(w, fit, new double[w.Length], new double[bases]);
        return fit;
    }

    private static double Difference(GroupFit one, GroupFit other) =>
        one.Alpha.Zip(other.Alpha, (a, b) => Math.Abs(a - b)).Append(Math.Abs(one.Beta - other.Beta)).Max();

    private static double BruteForce(float[] w, int bases, bool bias)
    {
        var best = double.PositiveInfinity;
        var codes = new byte[w.Length];
        var alpha = new double[bases];
        for (var signs = 0L; signs < 1L << bases * w.Length; signs++)
        {
            for (var j = 0; j < w.Length; j++)
                codes[j] = (byte)(signs >> j * bases & (1 << bases) - 1);
            var beta = ReferenceAlternating.LeastSquares(w, codes, bias, alpha);
            best = Math.Min(best, ReferenceAlternating.SquaredError(w, codes, alpha, beta));
        }
        return best;
    }
}
