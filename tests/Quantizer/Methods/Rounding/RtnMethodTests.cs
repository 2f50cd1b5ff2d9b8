using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Rounding;
using Qbb.Tests;

namespace Qbb.Quantizer.Tests.Methods.Rounding;

public class RtnMethodTests
{
    [Theory]
    [InlineData("gaussian-96x256")]
    [InlineData("student-64x384")]
    [InlineData("ragged-128x200")]
    public void Values_equal_those_of_the_reference_library_bit_for_bit(string folder)
    {
        using var weights = SafetensorsFile.Open(Reference.Path("methods", folder, "layer.safetensors"));
        using var results = SafetensorsFile.Open(Reference.Path("methods", folder, "results.safetensors"));
        var (rows, columns) = ((int)weights.Describe("W").Shape[0], (int)weights.Describe("W").Shape[1]);
        var layer = new LayerWeights("W", rows, columns, Read(weights, "W"));
        for (var bits = 2; bits <= 4; bits++)
        {
            foreach (var group in new int?[] { null, 128 })
            {
                var found = new float[rows * columns];
                new RtnMethod(bits, group, clipSearch: false).Quantize(layer).Weight.Dequantize(0, rows, found);
                found.ShouldBe(Read(results, $"rtn-{bits}bit-{(group == null ? "channel" : "g128")}"));
            }
        }
    }

    [Fact]
    public void Clip_search_never_loses_in_weight_error()
    {
        var layer = Synthetic.Layer(16, 200, 12);
        for (var bits = 1; bits <= 8; bits++)
        {
            var plain = new RtnMethod(bits, 64, clipSearch: false).Quantize(layer);
            var clipped = new RtnMethod(bits, 64, clipSearch: true).Quantize(layer);
            clipped.Report.RelativeError.ShouldBeLessThanOrEqualTo(plain.Report.RelativeError * (1 + 1e-6));
            plain.Report.RelativeError.ShouldBe(Synthetic.RelativeError(layer, plain), 1e-6);
            plain.Report.EffectiveBitsPerWeight.ShouldBe(bits + (16 + bits) * 4 / 200.0, 1e-9);
        }
    }

    [Fact]
    public void Zeros_and_the_smallest_floats_stay_finite()
    {
        var w = Enumerable.Repeat(0f, 32).Concat(Enumerable.Repeat(float.Epsilon, 32)).ToArray();
        var result = new RtnMethod(4, 32, clipSearch: true).Quantize(new LayerWeights("w", 2, 32, w));
        var values = new float[64];
        result.Weight.Dequantize(0, 2, values);
        values.ShouldAllBe(value => value == 0);
    }

    [Fact]
    public void Bits_and_group_are_checked()
    {
        Should.Throw<InvalidInputException>(() => new RtnMethod(9, 128, false)).Message.ShouldContain("9");
        Should.Throw<InvalidInputException>(() => new RtnMethod(4, 0, false)).Message.ShouldContain("group");
    }

    private static float[] Read(ITensorSource source, string name)
    {
        var values = new float[source.Describe(name).Count];
        source.ReadFloat(name, 0, values);
        return values;
    }
}
