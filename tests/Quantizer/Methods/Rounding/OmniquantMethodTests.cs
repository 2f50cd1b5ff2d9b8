using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Rounding;
using Qbb.Quantizer.Tests.Methods.OutputAware;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Methods.Rounding;

public class OmniquantMethodTests
{
    /// <summary>In fp32 a rounding may fall the other way and move all later steps a little: the objectives agree, not each value.</summary>
    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void The_objective_is_that_of_the_plain_form(int bits)
    {
        const int Rows = 12, Features = 40, Group = 16;
        using var scope = torch.NewDisposeScope();
        torch.random.manual_seed(6);
        using var inputs = new InputStatistics(Features);
        inputs.Add(torch.matmul(torch.randn(300, Features), torch.randn(Features, Features)));
        var weights = new LayerWeights("w", Rows, Features, torch.randn(Rows, Features).ToArray<float>()) { Inputs = inputs };
        var h = OutputObjective.Damped(inputs.Mean(torch.CPU));
        var matrix = new double[Features, Features];
        Buffer.BlockCopy(h.ToArray<double>(), 0, matrix, 0, 8 * matrix.Length);
        var unit = OutputObjective.Norm(weights, h) / Rows;
        var expected = Enumerable.Range(0, Rows).Sum(row =>
            ReferenceOmniquant.Row([.. weights.Row(row).ToArray().Select(value => (double)value)], matrix, unit, bits, Group).Objective);
        var report = new OmniquantMethod(Omniquant(bits, Group), torch.CPU).Quantize(weights).Report;
        (report.Output!.AfterStep[1] / expected).ShouldBe(1, 0.01);
        report.Output.AfterStep[1].ShouldBeLessThan(report.Output.AfterStep[0]);
    }

    [Theory]
    [InlineData("gaussian-96x256", 128)]
    [InlineData("student-64x384", 128)]
    [InlineData("ragged-128x200", 128)]
    public void Outputs_err_less_than_when_rounded_to_nearest(string name, int group)
    {
        var layer = new ReferenceLayer(name);
        for (var bits = 2; bits <= 4; bits++)
        {
            var result = new OmniquantMethod(Omniquant(bits, group), torch.CPU).Quantize(layer.Weights);
            layer.Objective(Values(result)).ShouldBeLessThan(0.95 * layer.Objective(layer.Result($"rtn-{bits}bit-g128")), $"{bits} bits");
        }
    }

    [Fact]
    public void Groups_of_zeros_do_no_harm()
    {
        var values = new float[4 * 32];
        values[5] = 1;
        using var inputs = new InputStatistics(32);
        inputs.Add(torch.ones(3, 32));
        var found = Values(new OmniquantMethod(Omniquant(3, 16), torch.CPU).Quantize(new LayerWeights("w", 4, 32, values) { Inputs = inputs }));
        found[5].ShouldBe(1, 0.05f);
        // The bias and the scales that make up 0 are rounded to fp16.
        found.Where((_, k) => k != 5).ShouldAllBe(value => Math.Abs(value) < 5e-4f);
    }

    private static float[] Values(LayerResult result)
    {
        var values = new float[result.Weight.OutFeatures * result.Weight.InFeatures];
        result.Weight.Dequantize(0, result.Weight.OutFeatures, values);
        return values;
    }

    private static Recipe Omniquant(int bits, int group) => new() { Bases = bits, Group = group, Init = Init.Omniquant, Refinement = Refinement.None, Importance = Importance.Full };
}
