using Qbb.Bases;
using Qbb.Models;
using Qbb.Models.Generation;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Quantizer.Methods.Nested;
using Qbb.Quantizer.Methods.OutputAware;
using Qbb.Quantizer.Tests.Methods.OutputAware;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Methods.Nested;

public class NestedMethodTests
{
    /// <summary>How many times the error of an own decomposition a nested one may have, by weights in groups of 128 with bias.</summary>
    private static readonly double[] s_factors = [1.1, 1.2, 1.25, 1.25];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Every_n_is_better_than_the_one_below_and_near_a_model_of_its_own(bool heavy)
    {
        const int Rows = 64, Columns = 1024;
        var w = heavy ? Synthetic.StudentT5(Rows * Columns, 5) : Synthetic.Gaussian(Rows * Columns, 5);
        var layer = new LayerWeights("w", Rows, Columns, w);
        var recipe = new Recipe { Bases = 4, Nested = true };
        var result = new NestedMethod(recipe, 2).Quantize(layer);
        var nested = (NestedBases)result.Weight;
        for (var count = 1; count <= 4; count++)
        {
            var error = Synthetic.RelativeError(layer, new LayerResult(nested.At(count), result.Report));
            var own = new BasesMethod(new Recipe { Bases = count }, 2).Quantize(layer).Report.RelativeError;
            TestContext.Current.TestOutputHelper!.WriteLine($"n = {count}: {error:f5}, of its own {own:f5}, × {error / own:f3} (most {s_factors[count - 1]})");
            error.ShouldBe(result.Report.ErrorPerBase[count - 1], 1e-6);
            own.ShouldBe(result.Report.OwnErrorPerBase![count - 1], 1e-12);
            error.ShouldBeLessThan(s_factors[count - 1] * own);
            if (count > 1)
                error.ShouldBeLessThan(0.6 * result.Report.ErrorPerBase[count - 2]);
        }
        result.Report.RelativeError.ShouldBe(result.Report.ErrorPerBase[^1], 1e-12);
        result.Report.EffectiveBitsPerWeight.ShouldBe(4 + 16.0 * (1 + 2 + 3 + 4 + 4) / 128, 1e-9);
    }

    [Theory]
    [InlineData(2, 16, false)]
    [InlineData(5, 100, true)]
    [InlineData(3, null, true)]
    public void The_result_does_not_depend_on_threads(int bases, int? group, bool bias)
    {
        var layer = Synthetic.Layer(9, 200, 4);
        var recipe = new Recipe { Bases = bases, Group = group, Bias = bias, Nested = true };
        var (one, three) = ((NestedBases)new NestedMethod(recipe, 1).Quantize(layer).Weight, (NestedBases)new NestedMethod(recipe, 3).Quantize(layer).Weight);
        for (var count = 1; count <= bases; count++)
        {
            one.At(count).Planes.ShouldBe(three.At(count).Planes);
            one.At(count).Alpha.ShouldBe(three.At(count).Alpha);
            one.At(count).Planes.ShouldBe(one.Whole.Planes[..one.At(count).Planes.Length]);
        }
    }

    [Fact]
    public void Weights_that_every_n_can_express_are_found_exactly()
    {
        var layer = new LayerWeights("w", 2, 64, Enumerable.Range(0, 128).Select(k => k % 2 == 0 ? 0.5f : -0.25f).ToArray());
        var result = new NestedMethod(new Recipe { Bases = 3, Nested = true }, 1).Quantize(layer);
        result.Report.ErrorPerBase.ShouldAllBe(error => error < 1e-6);
        var zero = new NestedMethod(new Recipe { Bases = 3, Nested = true }, 1).Quantize(new LayerWeights("w", 2, 64, new float[128]));
        zero.Report.ErrorPerBase.ShouldAllBe(error => error == 0);
    }

    [Fact]
    public void Outputs_of_every_n_err_less_when_they_are_looked_at_and_no_step_raises_the_joint_error()
    {
        var layer = new ReferenceLayer("student-64x384");
        var recipe = new Recipe { Bases = 4, Nested = true };
        var plain = (NestedBases)new NestedMethod(recipe, 2).Quantize(layer.Weights).Weight;
        var last = Enumerable.Repeat(double.PositiveInfinity, layer.Rows).ToArray();
        var method = new NestedOutputAware(recipe with { Importance = Importance.Full }, 2)
        {
            Trace = (row, objective) =>
            {
                objective.ShouldBeLessThanOrEqualTo(last[row] * (1 + 1e-9));
                last[row] = objective;
            },
        };
        var result = method.Quantize(layer.Weights);
        var aware = (NestedBases)result.Weight;
        for (var count = 1; count <= 4; count++)
        {
            var own = new OutputAwareMethod(new Recipe { Bases = count, Importance = Importance.Full }, 2).Quantize(layer.Weights).Weight;
            var (before, after) = (Objective(layer, plain.At(count)), Objective(layer, aware.At(count)));
            TestContext.Current.TestOutputHelper!.WriteLine(
                $"n = {count}: {after:g5}, by weights alone {before:g5}, of its own {Objective(layer, own):g5}; "
                + $"relative {result.Report.OutputErrorPerBase![count - 1]:g4}");
            after.ShouldBeLessThan(before);
            if (count > 1)
                after.ShouldBeLessThan(Objective(layer, aware.At(count - 1)));
        }
        last.ShouldAllBe(objective => objective < 4);
    }

    [Fact]
    public void Column_feedback_is_that_of_its_definition()
    {
        const int Rows = 3, Columns = 200, Group = 48, Bases = 3;
        var random = new SplitMix64(11);
        var h = new double[Columns * Columns];
        var x = Synthetic.Gaussian(Columns * 300, 12);
        for (var i = 0; i < Columns; i++)
        {
            for (var j = 0; j < Columns; j++)
            {
                for (var t = 0; t < 300; t++)
                    h[i * Columns + j] += (x[t * Columns + i] + x[t * Columns]) * (x[t * Columns + j] + x[t * Columns]) / 300.0;
            }
        }
        var curvature = Curvature.Of(h, "w");
        var weights = Synthetic.Gaussian(Rows * Columns, 13).Select(value => (double)value).ToArray();
        double[] importance = [.. Enumerable.Range(0, Rows * Bases).Select(_ => random.NextUniform())];
        var blocks = Enumerable.Range(1, Bases).Select(count => new RowBlock(Rows, Columns, Group, count, true) { Rows = Rows }).ToArray();
        foreach (var block in blocks)
        {
            foreach (ref var scale in block.Alpha.AsSpan())
                scale = random.NextUniform();
            foreach (ref var bias in block.Beta.AsSpan())
                bias = 0.1 * random.NextGaussian();
        }
        var levels = new NestedTable(Rows, blocks[0].Groups, Bases);
        levels.Update(blocks);
        new NestedFeedback(curvature, Bases, Rows).Run(weights, blocks, levels, importance);
        for (var row = 0; row < Rows; row++)
        {
            var expected = ReferenceNested.ColumnFeedback(
                weights.AsSpan(row * Columns, Columns), curvature.Order, curvature.Factor,
                (column, n) => [.. Enumerable.Range(0, 2 << n).Select(code => levels.Level(row, column / Group, n, code))],
                importance[(row * Bases)..((row + 1) * Bases)]);
            for (var n = 0; n < Bases; n++)
                blocks[n].Codes.AsSpan(row * Columns, Columns).ToArray().ShouldBe([.. expected.Select(code => (byte)(code & NestedFit.Mask(n + 1)))]);
        }
    }

    [Fact]
    public void Recipes_that_cannot_be_nested_are_refused()
    {
        foreach (var recipe in new Recipe[]
        {
            new() { Bases = 1, Nested = true },
            new() { Refinement = Refinement.Gradient, Nested = true },
            new() { Init = Init.Random, Starts = Starts.Greedy, Nested = true },
            new() { Rounds = 0, Nested = true },
        })
        {
            Should.Throw<InvalidInputException>(() => recipe.Resolve()).Message.ShouldContain("nested");
        }
        Recipe.FromJson(new Recipe { Nested = true }.ToCanonicalJson()).ShouldBe(new Recipe { Nested = true }.Resolve());
        new Recipe { Nested = true }.Digest.ShouldNotBe(new Recipe().Digest);
    }

    private static double Objective(ReferenceLayer layer, IQuantizedWeight weight)
    {
        var values = new float[layer.Rows * layer.Columns];
        weight.Dequantize(0, layer.Rows, values);
        return layer.Objective(values);
    }
}
