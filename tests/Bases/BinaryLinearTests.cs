namespace Qbb.Bases.Tests;

public class BinaryLinearTests
{
    [Theory]
    [InlineData(1, 5, 7, 3, false, 0), InlineData(3, 6, 40, 16, true, 0), InlineData(4, 3, 64, 32, true, -2)]
    [InlineData(2, 70, 33, 33, true, 1), InlineData(8, 2, 5, 4, false, 0), InlineData(3, 1, 40, 16, true, 1)]
    public void Products_and_gradients_agree_with_plain_ones(int count, int outFeatures, int inFeatures, int group, bool beta, int exponent)
    {
        const int seed = 17;
        using var scope = NewDisposeScope();
        var bases = RandomBases.Create(seed, count, outFeatures, inFeatures, group, beta).WithExponent(exponent);
        var own = torch.tensor(Enumerable.Range(0, outFeatures).Select(k => k * 0.1f).ToArray());
        using var layer = new BinaryLinear(bases, own, torch.CPU, ScalarType.Float32);
        foreach (var (_, parameter) in layer.Parameters())
            parameter.requires_grad = true;
        using var generator = new Generator(seed);
        var x = randn([2, 3, inFeatures], generator: generator).requires_grad_();
        var probe = randn([2, 3, outFeatures], generator: generator);
        var y = layer.forward(x);

        var expected = new double[6 * outFeatures];
        ReferenceProduct.Multiply(bases, x.to(ScalarType.Float64).ToArray<double>(), expected);
        var actual = y.ToArray<float>();
        for (var k = 0; k < expected.Length; k++)
            actual[k].ShouldBe((float)expected[k] + k % outFeatures * 0.1f, 2e-4f);

        (y * probe).sum().backward();
        double Loss() => (layer.forward(x.detach()).detach().to(ScalarType.Float64) * probe.to(ScalarType.Float64)).sum().ToDouble();
        foreach (var (name, parameter) in layer.Parameters().Append(("x", x)))
        {
            var gradient = parameter.grad!.flatten().ToArray<float>();
            var values = parameter.detach().flatten();
            for (var k = 0; k < Math.Min(gradient.Length, 40); k++)
            {
                // The product is linear in each of its arguments, so a large step is exact up to rounding.
                using var inner = NewDisposeScope();
                var element = values.narrow(0, k, 1);
                element.add_(1);
                var above = Loss();
                element.sub_(2);
                var below = Loss();
                element.add_(1);
                ((above - below) / 2).ShouldBe(gradient[k], 2e-3 * Math.Max(1, Math.Abs(gradient[k])), $"{name}[{k}]");
            }
        }
    }

    [Theory]
    [InlineData(3, 70, 40, 16, true, 0), InlineData(4, 5, 64, 64, false, 0), InlineData(3, 7, 40, 16, true, -40)]
    public void Both_expansions_give_the_stored_weight(int count, int outFeatures, int inFeatures, int group, bool beta, int exponent)
    {
        using var scope = NewDisposeScope();
        var bases = RandomBases.Create(5, count, outFeatures, inFeatures, group, beta).WithExponent(exponent);
        using var layer = new BinaryLinear(bases, null, torch.CPU, ScalarType.Float32);
        var expected = new float[outFeatures * inFeatures];
        bases.Dequantize(0, outFeatures, expected);
        layer.Weight().flatten().ToArray<float>().ShouldBe(expected);
        var other = layer.ReferenceWeight().flatten().ToArray<float>();
        for (var k = 0; k < expected.Length; k++)
            other[k].ShouldBe(expected[k], MathF.ScaleB(1e-5f, exponent));
    }

    [Theory]
    [InlineData(-60, 1), InlineData(-60, 300), InlineData(40, 1), InlineData(40, 300)]
    public void A_power_of_two_of_the_scales_is_one_of_the_products(int exponent, int tokens)
    {
        using var scope = NewDisposeScope();
        var bases = RandomBases.Create(3, 3, 20, 96, 32, bias: true);
        using var plain = new BinaryLinear(bases, null, torch.CPU, ScalarType.Float32);
        using var scaled = new BinaryLinear(bases.WithExponent(exponent), null, torch.CPU, ScalarType.Float32);
        var x = randn([tokens, 96]);
        using var off = no_grad();
        scaled.forward(x).mul(MathF.ScaleB(1, -exponent)).flatten().ToArray<float>().ShouldBe(plain.forward(x).flatten().ToArray<float>());
        scaled.CanWrite(tokens, ScalarType.Float32).ShouldBeFalse();
    }

    [Fact]
    public void Nothing_is_recorded_for_frozen_layers()
    {
        using var scope = NewDisposeScope();
        using var layer = new BinaryLinear(RandomBases.Create(1, 2, 4, 8, 4, true), null, torch.CPU, ScalarType.Float32);
        layer.forward(ones([1, 8])).requires_grad.ShouldBeFalse();
    }
}
