using static Qbb.Torch.torch;

namespace Qbb.Torch.Tests;

public class CheckpointTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Value_and_gradients_are_those_of_the_plain_path(bool inputHasGradient)
    {
        const int seed = 3;
        using var scope = NewDisposeScope();
        using var generator = new Generator(seed);
        var x = randn([4, 5], generator, ScalarType.Float64).requires_grad_(inputHasGradient);
        var (first, second) = (randn([5, 6], generator, ScalarType.Float64).requires_grad_(), randn([6, 5], generator, ScalarType.Float64).requires_grad_());
        var runs = 0;
        Tensor Block(Tensor t)
        {
            runs++;
            return t + nn.functional.silu(t.matmul(first)).matmul(second);
        }

        var plain = Block(Block(x)).square().sum();
        plain.backward();
        var expected = Gradients();
        runs = 0;
        var kept = utils.checkpoint(Block, utils.checkpoint(Block, x, first, second), first, second).square().sum();
        runs.ShouldBe(2);
        kept.item().ShouldBe(plain.item());
        kept.backward();
        runs.ShouldBe(4);
        foreach (var (actual, wanted) in Gradients().Zip(expected))
            actual.ShouldBe(wanted);

        double[][] Gradients()
        {
            Tensor[] leaves = inputHasGradient ? [x, first, second] : [first, second];
            var gradients = leaves.Select(t => t.grad!.to_array<double>()).ToArray();
            foreach (var leaf in leaves)
                leaf.grad = null;
            return gradients;
        }
    }

    [Fact]
    public void Nothing_is_recorded_where_no_gradient_is_wanted()
    {
        using var scope = NewDisposeScope();
        var runs = 0;
        var y = utils.checkpoint(t =>
        {
            runs++;
            return t * 2;
        }, ones([2]));
        y.requires_grad.ShouldBeFalse();
        runs.ShouldBe(1);
    }

    [Fact]
    public void Steps_of_ones_own_work_within()
    {
        using var scope = NewDisposeScope();
        var x = tensor([3.0]).requires_grad_();
        utils.checkpoint(Cube, utils.checkpoint(Cube, x)).backward();
        x.grad!.item().ShouldBe(9 * Math.Pow(3, 8), 1e-6);
    }

    private static Tensor Cube(Tensor x)
    {
        Tensor y;
        using (no_grad())
            y = x * x * x;
        var kept = x.detach().Save();
        autograd.record([x], [y], g => [g[0]! * kept.square() * 3], kept);
        return y;
    }
}
