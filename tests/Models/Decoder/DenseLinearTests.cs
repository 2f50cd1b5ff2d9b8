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

    // 300 rows of 257 are shared out among threads, and neither count fits a vector register.
    [Theory]
    [InlineData(300, 257), InlineData(7, 5), InlineData(1, 64)]
    public void Vectors_in_fp32_agree_with_the_plain_product_and_do_not_depend_on_each_other(int outputs, int inputs)
    {
        const ulong seed = 4;
        using var scope = torch.NewDisposeScope();
        using var generator = new Generator(seed);
        var weight = torch.randn([outputs, inputs], generator: generator);
        var x = torch.randn([4, inputs], generator: generator);
        var exact = x.to(ScalarType.Float64).matmul(weight.to(ScalarType.Float64).t());
        var all = DenseProduct.Apply(x, weight, null);
        (all - exact).abs().max().ToDouble().ShouldBeLessThan(2e-6 * inputs, $"seed {seed}");
        for (var row = 0; row < 4; row++)
            DenseProduct.Apply(x[row], weight, null).ToArray<float>().ShouldBe(all[row].ToArray<float>(), $"row {row}, seed {seed}");
    }

    [Fact]
    public void A_gradient_passes_a_product_of_few_rows()
    {
        using var scope = torch.NewDisposeScope();
        var weight = torch.ones([3, 4], requires_grad: true);
        DenseProduct.Apply(torch.ones([2, 4]), weight, null).sum().backward();
        weight.grad!.AsSpan<float>().ToArray().ShouldAllBe(value => value == 2);
    }
}
