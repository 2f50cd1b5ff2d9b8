using Qbb.Bases;
using Qbb.Models;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Rounding;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Methods.Rounding;

public class RtnBasesMethodTests
{
    [Theory]
    [InlineData(Init.Rtn)]
    [InlineData(Init.RtnClip)]
    public void A_grid_of_b_bits_is_b_bases_and_a_bias(Init init)
    {
        var layer = Synthetic.Layer(7, 200, 40);
        for (var bits = 1; bits <= 8; bits++)
        {
            var grid = new RtnMethod(bits, 64, init == Init.RtnClip).Quantize(layer);
            var bases =
                new RtnBasesMethod(new Recipe { Bases = bits, Group = 64, Init = init, Refinement = Refinement.None }).Quantize(layer);
            bases.Weight.ShouldBeOfType<BinaryBases>().Count.ShouldBe(bits);
            var (expected, found) = (new float[layer.Values.Length], new float[layer.Values.Length]);
            grid.Weight.Dequantize(0, 7, expected);
            bases.Weight.Dequantize(0, 7, found);
            // Half a digit of fp16 in every scale and the bias.
            for (var k = 0; k < found.Length; k++)
                found[k].ShouldBe(expected[k], 0.005f);
            bases.Report.RelativeError.ShouldBe(Synthetic.RelativeError(layer, bases), 1e-6);
        }
    }

    [Fact]
    public void Weights_too_large_for_fp16_are_refused_by_name()
    {
        var layer = new LayerWeights("big.weight", 1, 64, Synthetic.Gaussian(64, 1).Select(value => value * 1e6f).ToArray());
        var method = new RtnBasesMethod(new Recipe { Init = Init.Rtn, Refinement = Refinement.None });
        Should.Throw<InvalidInputException>(() => method.Quantize(layer)).Message.ShouldContain("big.weight");
    }
}
