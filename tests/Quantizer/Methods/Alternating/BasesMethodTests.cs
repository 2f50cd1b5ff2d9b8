using Qbb.Bases;
using Qbb.Models;
using Qbb.Models.Generation;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Methods.Alternating;

public class BasesMethodTests
{
    public static TheoryData<Recipe> Recipes => new(
        new Recipe { Bases = 2, Group = 64 },
        new Recipe { Bases = 4, Group = 128, Bias = false },
        new Recipe { Bases = 3, Group = null },
        new Recipe { Bases = 1, Group = 7 },
        new Recipe { Bases = 5, Group = 1000 },
        new Recipe { Bases = 2, Group = 50, Rounds = 0 },
        new Recipe { Bases = 3, Group = 64, Refinement = Refinement.None },
        new Recipe { Bases = 3, Group = 64, Refinement = Refinement.Gradient, Rounds = 1 },
        new Recipe { Bases = 3, Group = 64, Refinement = Refinement.Simultaneous, Rounds = 1 },
        new Recipe { Bases = 3, Group = 64, Init = Init.Random, Seed = 8 },
        new Recipe { Bases = 3, Group = 64, Init = Init.NonCascaded, Refinement = Refinement.None });

    [Theory]
    [MemberData(nameof(Recipes), DisableDiscoveryEnumeration = true)]
    public void The_reported_error_is_that_of_the_stored_form(Recipe recipe)
    {
        var layer = Synthetic.Layer(9, 200, 6);
        var result = new BasesMethod(recipe).Quantize(layer);
        var bases = result.Weight.ShouldBeOfType<BinaryBases>();
        bases.Count.ShouldBe(recipe.Bases);
        bases.GroupSize.ShouldBe(Math.Min(recipe.Group ?? 200, 200));
        (bases.Beta != null).ShouldBe(recipe.Bias);

        var report = result.Report;
        report.RelativeError.ShouldBe(Synthetic.RelativeError(layer, result), 1e-6);
        report.ErrorPerBase[^1].ShouldBe(report.RelativeError, 1e-12);
        report.ErrorPerBase.Count.ShouldBe(recipe.Bases);
        report.InitErrorPerBase.Count.ShouldBe(recipe.Bases);
        report.FlippedSigns.Count.ShouldBe(recipe.Bases);
        report.FlippedSigns.ShouldAllBe(share => share >= 0 && share <= 1);
        report.EffectiveBitsPerWeight.ShouldBe(bases.EffectiveBitsPerWeight);
        if (recipe.Refinement == Refinement.None || recipe.Rounds == 0)
            report.FlippedSigns.ShouldAllBe(share => share == 0);
        else
            report.RelativeError.ShouldBeLessThan(report.InitErrorPerBase[^1]);
    }

    [Theory]
    [MemberData(nameof(Recipes), DisableDiscoveryEnumeration = true)]
    public void One_thread_and_several_give_the_same_bytes(Recipe recipe)
    {
        var layer = Synthetic.Layer(23, 200, 7);
        var one = new BasesMethod(recipe, 1).Quantize(layer);
        foreach (var threads in new[] { 2, 5 })
        {
            var many = new BasesMethod(recipe, threads).Quantize(layer);
            var (left, right) = ((BinaryBases)one.Weight, (BinaryBases)many.Weight);
            right.Planes.ShouldBe(left.Planes);
            right.Alpha.ShouldBe(left.Alpha);
            right.Beta.ShouldBe(left.Beta);
            many.Report.SquaredError.ShouldBe(one.Report.SquaredError);
        }
    }

    [Fact]
    public void Seeds_of_drawn_signs_matter_and_rows_draw_their_own()
    {
        var recipe = new Recipe { Bases = 1, Group = 64, Init = Init.Random, Refinement = Refinement.None };
        var layer = Synthetic.Layer(2, 64, 8);
        var first = (BinaryBases)new BasesMethod(recipe).Quantize(layer).Weight;
        first.Row(0, 0).ToArray().ShouldNotBe(first.Row(0, 1).ToArray());
        ((BinaryBases)new BasesMethod(recipe with { Seed = 1 }).Quantize(layer).Weight).Planes.ShouldNotBe(first.Planes);
    }

    [Fact]
    public void Scales_are_positive_and_fall_after_alternating()
    {
        var bases = (BinaryBases)new BasesMethod(new Recipe { Bases = 4, Group = 32 }).Quantize(Synthetic.Layer(16, 256, 9)).Weight;
        for (var row = 0; row < 16; row++)
        {
            for (var group = 0; group < bases.Groups; group++)
            {
                for (var basis = 0; basis < 4; basis++)
                {
                    var before = basis == 0 ? Half.MaxValue : bases.Scale(basis - 1, row, group);
                    bases.Scale(basis, row, group).ShouldBeInRange((Half)0, before);
                }
            }
        }
    }

    /// <summary>What a GGUF file of type Q4_1 holds: w = m + q·s, m and s in fp16, groups of 32.</summary>
    [Fact]
    public void A_four_bit_grid_comes_back_up_to_the_rounding_of_scales()
    {
        const ulong seed = 21;
        TestContext.Current.TestOutputHelper!.WriteLine($"seed {seed}");
        var random = new SplitMix64(seed);
        var w = new float[64 * 256];
        for (var group = 0; group < w.Length / 32; group++)
        {
            var step = (float)(Half)(0.01 * random.NextUniform());
            var lowest = (float)(Half)(-8 * step * (0.5 + random.NextUniform()));
            for (var j = 0; j < 32; j++)
                w[group * 32 + j] = lowest + step * (random.Next() % 16);
        }
        var report = new BasesMethod(new Recipe { Bases = 4, Group = 32 }).Quantize(new LayerWeights("w", 64, 256, w)).Report;
        TestContext.Current.TestOutputHelper!.WriteLine($"error {report.RelativeError:g3}, tolerance 1e-6");
        report.RelativeError.ShouldBeLessThan(1e-6);
    }

    [Fact]
    public void Constant_and_zero_weights_are_exact()
    {
        var w = new float[4 * 100];
        w.AsSpan(100, 100).Fill(0.5f);
        w.AsSpan(200, 100).Fill(-2f);
        var layer = new LayerWeights("w", 4, 100, w);
        foreach (var bias in new[] { false, true })
            new BasesMethod(new Recipe { Bases = 2, Group = 32, Bias = bias }).Quantize(layer).Report.RelativeError.ShouldBeLessThan(1e-7);
        new BasesMethod(new Recipe()).Quantize(new LayerWeights("w", 1, 64, new float[64])).Report.RelativeError.ShouldBe(0);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void Weights_that_are_not_finite_are_refused_by_name(float value)
    {
        foreach (var place in new[] { 0, 17, 63, 65 })
        {
            var w = new float[2 * 33];
            w[place] = value;
            Should.Throw<InvalidInputException>(() => new LayerWeights("model.layers.3.mlp.up_proj.weight", 2, 33, w))
                .Message.ShouldContain("model.layers.3.mlp.up_proj.weight");
        }
    }

    [Fact]
    public void Weights_too_large_for_fp16_scales_are_refused_by_name()
    {
        var w = Synthetic.Gaussian(4 * 64, 10).Select(value => value * 1e6f).ToArray();
        var message =
            Should.Throw<InvalidInputException>(
                () => new BasesMethod(new Recipe()).Quantize(new LayerWeights("big.weight", 4, 64, w))).Message;
        message.ShouldContain("big.weight");
        message.ShouldContain("65504");
    }

    [Fact]
    public void Scales_that_fp16_keeps_with_fewer_digits_are_counted()
    {
        var w = Synthetic.Gaussian(4 * 64, 10).Select(value => value * 1e-6f).ToArray();
        var report = new BasesMethod(new Recipe { Bases = 2, Group = 32 }).Quantize(new LayerWeights("small.weight", 4, 64, w)).Report;
        report.SubnormalScales.ShouldBe(4 * 2 * 3);
        report.RelativeError.ShouldBeLessThan(1);
        new BasesMethod(new Recipe { Bases = 2, Group = 32 }).Quantize(Synthetic.Layer(4, 64, 10)).Report.SubnormalScales.ShouldBe(0);
    }

    [Fact]
    public void Cancellation_stops_a_layer()
    {
        using var cancellation = new CancellationTokenSource();
        cancellation.Cancel();
        Should.Throw<OperationCanceledException>(
            () => new BasesMethod(new Recipe()).Quantize(Synthetic.Layer(4, 64, 1), cancellation.Token));
    }
}
