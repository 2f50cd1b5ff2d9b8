using Qbb.Quantizer.Methods;

namespace Qbb.Quantizer.Tests.Methods;

public sealed class LayerWeightsTests
{
    [Fact]
    public void The_largest_magnitude_is_found_at_every_place()
    {
        HalfScales.LargestMagnitude([]).ShouldBe(0);
        for (var length = 1; length <= 41; length++)
        {
            for (var place = 0; place < length; place++)
            {
                var weights = Enumerable.Range(0, length).Select(k => k == place ? -3.5f : 0.25f * k / length).ToArray();
                HalfScales.LargestMagnitude(weights).ShouldBe(3.5f);
            }
        }
    }

    [Fact]
    public void A_copy_on_a_device_is_of_its_own()
    {
        var values = Enumerable.Range(0, 15).Select(k => k - 7f).ToArray();
        using var copy = new LayerWeights("w", 3, 5, values).On(torch.CPU);
        Array.Clear(values);
        copy.shape.ShouldBe([3L, 5]);
        copy.ToArray<float>().ShouldBe(Enumerable.Range(0, 15).Select(k => k - 7f));
    }
}
