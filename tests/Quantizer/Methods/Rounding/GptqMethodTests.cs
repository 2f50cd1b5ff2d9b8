using Qbb.Models;
using Qbb.Quantizer.Methods.Rounding;
using Qbb.Quantizer.Tests.Methods.OutputAware;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Methods.Rounding;

public class GptqMethodTests
{
    public static TheoryData<string> ReferenceLayers => new(ReferenceLayer.Names);

    // The library's scales are of fp32 and ours of fp16: a rounding may fall the other way and spread to the columns behind it.
    [Theory]
    [MemberData(nameof(ReferenceLayers))]
    public void The_objective_is_that_of_the_reference_library(string name)
    {
        var layer = new ReferenceLayer(name);
        for (var bits = 2; bits <= 4; bits++)
        {
            var result = new GptqMethod(Gptq(bits)).Quantize(layer.Weights);
            var found = new float[layer.Weights.Values.Length];
            result.Weight.Dequantize(0, layer.Rows, found);
            var expected = layer.Objective(layer.Result($"gptq-{bits}bit-g128-actorder"));
            (layer.Objective(found) / expected).ShouldBe(1, 0.01, $"{bits} bits");
            result.Report.Output!.AfterStep[1].ShouldBeLessThan(result.Report.Output.AfterStep[0]);
        }
    }

    [Fact]
    public void The_result_does_not_depend_on_the_number_of_threads()
    {
        var layer = new ReferenceLayer("student-64x384").Weights;
        float[] one = new float[layer.Values.Length], three = new float[one.Length];
        new GptqMethod(Gptq(3), 1).Quantize(layer).Weight.Dequantize(0, layer.OutFeatures, one);
        new GptqMethod(Gptq(3), 3).Quantize(layer).Weight.Dequantize(0, layer.OutFeatures, three);
        three.ShouldBe(one);
    }

    [Fact]
    public void A_recipe_without_calibration_or_with_refinement_is_refused()
    {
        Should.Throw<InvalidInputException>(() => (Gptq(3) with { Importance = Importance.None }).Resolve()).Message.ShouldContain("set importance to full");
        Should.Throw<InvalidInputException>(() => (Gptq(3) with { Refinement = Refinement.Gradient }).Resolve()).Message.ShouldContain("init is gptq, which is refined for the layers' outputs only");
    }

    private static Recipe Gptq(int bits) => new() { Bases = bits, Group = 128, Init = Init.Gptq, Refinement = Refinement.None, Importance = Importance.Full };
}
