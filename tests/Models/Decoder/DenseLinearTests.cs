using Qbb.Models.Decoder;

namespace Qbb.Models.Tests.Decoder;

public class DenseLinearTests
{
    [Theory]
    [InlineData(false, true)]
    [InlineData(true, false)]
    public void Few_rows_and_many_give_the_same_products(bool transposed, bool hasBias)
    {
        const ulong seed = 3;
        using var scope = torch.NewDisposeScope();
        using var generator = new Generator(seed);
        var weight = torch.randn([7, 5], ScalarType.Float64, generator: generator);
        var bias = hasBias ? torch.randn([7], ScalarType.Float64, generator: generator) : null;
        var linear = new DenseLinear(transposed ? weight.t().contiguous() : weight, bias, transposed);
        (linear.InFeatures, linear.OutFeatures).ShouldBe((5, 7));
        foreach (var (batch, count) in new[] { (1L, 1L), (1, 2), (2, 2), (1, 4), (5, 1), (3, 4), (0, 1) })
        {
            // A view with steps, as attention hands over.
            var x = torch.randn([count, batch, 5], ScalarType.Float64, generator: generator).transpose(0, 1);
            var product = linear.forward(x);
            product.shape.ShouldBe([batch, count, 7]);
            var expected = torch.einsum("bci,oi->bco", x, weight) + (bias ?? torch.zeros([7], ScalarType.Float64));
            (product - expected).abs().sum().ToDouble().ShouldBeLessThan(1e-12, $"{batch} x {count}, seed {seed}");
        }
    }
}
