using Qbb.Bases;
using Qbb.Models;
using Qbb.Models.Generation;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Quantizer.Methods.OutputAware;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Methods.OutputAware;

public class OutputAwareMethodTests
{
    private static readonly Recipe Full = new() { Importance = Importance.Full };

    public static TheoryData<string> ReferenceLayers => new(ReferenceLayer.Names);

    [Theory]
    [MemberData(nameof(ReferenceLayers))]
    public void Outputs_err_less_than_with_GPTQ_and_no_step_raises_the_error(string name)
    {
        var layer = new ReferenceLayer(name);
        for (var bases = 2; bases <= 4; bases++)
        {
            var result = new OutputAwareMethod(Full with { Bases = bases }).Quantize(layer.Weights);
            CheckSteps(result.Report.Output!);
            var found = layer.Objective(Expand(result));
            var gptq = layer.Objective(layer.Result($"gptq-{bases}bit-g128-actorder"));
            TestContext.Current.TestOutputHelper!.WriteLine(
                $"{bases} bases: {found:g5}, GPTQ with act-order {gptq:g5}: × {found / gptq:f3}; " +
                $"after each step {string.Join(" ", result.Report.Output!.AfterStep.Select(value => value.ToString("g5")))}");
            found.ShouldBeLessThan(gptq);
            result.Report.RelativeError.ShouldBe(Synthetic.RelativeError(layer.Weights, result), 1e-6);
            result.Report.ErrorPerBase[^1].ShouldBe(result.Report.RelativeError, 1e-12);
        }
    }

    [Theory]
    [InlineData(Init.Rtn)]
    [InlineData(Init.RtnClip)]
    [InlineData(Init.Gptq)]
    [InlineData(Init.Omniquant)]
    public void The_result_of_another_method_is_improved(Init init)
    {
        using var inputs = Inputs.Correlated(100, 300, 7);
        var layer = new LayerWeights("w", 21, 100, Synthetic.StudentT5(2100, 3)) { Inputs = inputs };
        var recipe = Full with { Bases = 3, Group = 32, Init = init };
        var start = LayerMethods.For(recipe with { Refinement = Refinement.None }, torch.CPU).Quantize(layer);
        var result = LayerMethods.For(recipe, torch.CPU).Quantize(layer);
        CheckSteps(result.Report.Output!);
        // It begins with what the method gives, and ends below.
        result.Report.Output!.AfterStep[0].ShouldBe(Damped(layer, Expand(start)), 1e-5 * result.Report.Output.AfterStep[0]);
        result.Report.Output.AfterStep[1].ShouldBe(result.Report.Output.AfterStep[0], "the column loop would replace its signs");
        result.Report.Output.AfterStep[^1].ShouldBeLessThan(0.9 * result.Report.Output.AfterStep[0]);
        Damped(layer, Expand(result)).ShouldBe(result.Report.Output.AfterStep[^1], 1e-5 * result.Report.Output.AfterStep[^1]);
        result.Report.InitErrorPerBase[^1].ShouldBe(start.Report.RelativeError, 1e-6);
        result.Report.RelativeError.ShouldBe(Synthetic.RelativeError(layer, result), 1e-6);
        // Signs of the method that stay are not counted as flipped.
        result.Report.FlippedSigns.ShouldAllBe(share => share < 0.4);
    }

    [Theory]
    [InlineData(1, 32, true)]
    [InlineData(2, 64, false)]
    [InlineData(3, 48, true)]
    [InlineData(5, 100, true)]
    [InlineData(8, null, true)]
    public void No_step_raises_the_error_whatever_the_weights(int bases, int? group, bool bias)
    {
        foreach (var heavy in new[] { false, true })
        {
            using var inputs = Inputs.Correlated(100, 300, 7);
            var w = heavy ? Synthetic.StudentT5(2100, 3) : Synthetic.Gaussian(2100, 3);
            var layer = new LayerWeights("w", 21, 100, w) { Inputs = inputs };
            var result = new OutputAwareMethod(Full with { Bases = bases, Group = group, Bias = bias }).Quantize(layer);
            CheckSteps(result.Report.Output!);
            // The last objective is that of what is stored.
            Damped(layer, Expand(result)).ShouldBe(result.Report.Output!.AfterStep[^1], 1e-5 * result.Report.Output.AfterStep[^1]);
            Damped(layer, new float[2100]).ShouldBe(result.Report.Output.Norm, 1e-5 * result.Report.Output.Norm);
        }
    }

    [Fact]
    public void Weights_that_bases_can_express_are_found_exactly()
    {
        var random = new SplitMix64(5);
        var w = new float[8 * 64];
        for (var k = 0; k < w.Length; k++)
            w[k] = (k % 32 == 0 ? 0 : k % 32 == 1 ? 15 : random.Next() % 16) * 0.125f - 1;
        using var inputs = Inputs.Correlated(64, 200, 8);
        var result = new OutputAwareMethod(Full with { Bases = 4, Group = 32 }).Quantize(new LayerWeights("w", 8, 64, w) { Inputs = inputs });
        result.Report.RelativeError.ShouldBeLessThan(1e-6);
        result.Report.Output!.Relative.ShouldBeLessThan(1e-6);
    }

    [Fact]
    public void The_number_of_threads_changes_nothing()
    {
        using var inputs = Inputs.Correlated(130, 300, 9);
        var layer = new LayerWeights("w", 45, 130, Synthetic.Gaussian(45 * 130, 4)) { Inputs = inputs };
        var one = (BinaryBases)new OutputAwareMethod(Full with { Bases = 3, Group = 50 }, 1).Quantize(layer).Weight;
        var three = (BinaryBases)new OutputAwareMethod(Full with { Bases = 3, Group = 50 }, 3).Quantize(layer).Weight;
        three.Planes.ShouldBe(one.Planes);
        three.Alpha.ShouldBe(one.Alpha);
        three.Beta.ShouldBe(one.Beta);
    }

    [Fact]
    public void Inputs_that_were_never_other_than_zero_do_no_harm()
    {
        foreach (var dead in new[] { 1, 40, 64 })
        {
            var x = Synthetic.Gaussian(200 * 64, 11);
            for (var k = 0; k < x.Length; k++)
                x[k] = k % 64 < dead ? 0 : x[k];
            using var inputs = Statistics(x, 64);
            var layer = new LayerWeights("w", 8, 64, Synthetic.Gaussian(512, 12)) { Inputs = inputs };
            var result = new OutputAwareMethod(Full with { Bases = 3, Group = 32 }).Quantize(layer);
            CheckSteps(result.Report.Output!);
            result.Report.RelativeError.ShouldBeLessThan(0.2);
            result.Report.Output!.Damping.ShouldBe(0.01);
        }
    }

    [Fact]
    public void Errors_count_by_the_inputs_size_where_importance_is_diagonal()
    {
        var x = Synthetic.Gaussian(300 * 64, 13);
        for (var k = 0; k < x.Length; k++)
            x[k] *= k % 64 < 8 ? 10 : 1;
        using var inputs = Statistics(x, 64);
        var layer = new LayerWeights("w", 16, 64, Synthetic.Gaussian(1024, 14)) { Inputs = inputs };
        var recipe = new Recipe { Bases = 2, Group = 32 };
        var plain = Expand(new BasesMethod(recipe).Quantize(layer));
        var weighted = Expand(new BasesMethod(recipe with { Importance = Importance.Diag }).Quantize(layer));
        var full = Expand(new OutputAwareMethod(recipe with { Importance = Importance.Full }).Quantize(layer));
        Damped(layer, weighted).ShouldBeLessThan(0.7 * Damped(layer, plain));
        Damped(layer, full).ShouldBeLessThan(Damped(layer, weighted));
    }

    [Fact]
    public void Without_calibration_the_layer_is_refused_by_name()
    {
        var layer = Synthetic.Layer(2, 32, 1);
        Should.Throw<InvalidInputException>(() => new OutputAwareMethod(Full).Quantize(layer)).Message.ShouldContain("q_proj");
        Should.Throw<InvalidInputException>(() => new BasesMethod(Full with { Importance = Importance.Diag }).Quantize(layer))
            .Message.ShouldContain("calibration");
    }

    [Fact]
    public void Inputs_that_are_not_finite_are_refused_by_name()
    {
        using var inputs = Statistics([1, 2, float.NaN, 4], 2);
        var layer = new LayerWeights("w.proj", 1, 2, new float[] { 1, 2 }) { Inputs = inputs };
        Should.Throw<InvalidInputException>(() => new OutputAwareMethod(Full).Quantize(layer)).Message.ShouldContain("w.proj");
    }

    [Fact]
    public void Groups_too_small_to_solve_for_are_refused_with_what_to_do()
    {
        using var inputs = new InputStatistics(20_000);
        var layer = new LayerWeights("w", 1, 20_000, new float[20_000]) { Inputs = inputs };
        Should.Throw<InvalidInputException>(() => new OutputAwareMethod(Full with { Group = 4 }).Quantize(layer)).Message.ShouldContain("larger group");
    }

    private static void CheckSteps(OutputError error)
    {
        error.AfterStep.Count.ShouldBe(7);
        for (var step = 1; step < error.AfterStep.Count; step++)
            error.AfterStep[step].ShouldBeLessThanOrEqualTo(error.AfterStep[step - 1]);
    }

    private static float[] Expand(LayerResult result)
    {
        var values = new float[result.Weight.OutFeatures * result.Weight.InFeatures];
        result.Weight.Dequantize(0, result.Weight.OutFeatures, values);
        return values;
    }

    private static double Damped(LayerWeights layer, float[] values)
    {
        var matrix = Curvature.Of(layer.Inputs!, layer.Name).Matrix;
        var sum = 0.0;
        for (var row = 0; row < layer.OutFeatures; row++)
        {
            var error = new double[layer.InFeatures];
            for (var column = 0; column < error.Length; column++)
                error[column] = (double)layer.Row(row)[column] - values[row * error.Length + column];
            sum += ReferenceSteps.Objective(error, matrix);
        }
        return sum;
    }

    private static InputStatistics Statistics(float[] x, int features)
    {
        using var scope = torch.NewDisposeScope();
        var statistics = new InputStatistics(features);
        statistics.Add(torch.tensor(x, x.Length / features, features));
        return statistics;
    }
}
