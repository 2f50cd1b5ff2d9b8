using static Qbb.Torch.torch;

namespace Qbb.Torch.Tests;

public class AdamWTests
{
    [Fact]
    public void Steps_follow_the_papers_formula()
    {
        using var scope = NewDisposeScope();
        double[] p = [1, -2], m = [0, 0], v = [0, 0];
        var x = tensor(p).requires_grad_();
        using var adam = new optim.AdamW([(x, 0.1)], 0.9, 0.95, 1e-8);
        for (var t = 1; t <= 5; t++)
        {
            adam.zero_grad();
            x.square().sum().backward();
            adam.step(0.01);
            for (var k = 0; k < 2; k++)
            {
                var g = 2 * p[k];
                p[k] *= 1 - 0.01 * 0.1;
                m[k] = 0.9 * m[k] + 0.1 * g;
                v[k] = 0.95 * v[k] + 0.05 * g * g;
                p[k] -= 0.01 * m[k] / (1 - Math.Pow(0.9, t)) / (Math.Sqrt(v[k] / (1 - Math.Pow(0.95, t))) + 1e-8);
                x.select(0, k).item().ShouldBe(p[k], 1e-12);
            }
        }
    }

    [Fact]
    public void Clipping_bounds_the_common_norm()
    {
        using var scope = NewDisposeScope();
        Tensor a = tensor([3.0]).requires_grad_(), b = tensor([4.0]).requires_grad_(), idle = tensor([1.0]).requires_grad_();
        using var adam = new optim.AdamW([(a, 0), (b, 0), (idle, 0)]);
        (a.square() / 2 + b.square() / 2).backward();
        adam.clip_grad_norm(1).ShouldBe(5, 1e-12);
        a.grad!.item().ShouldBe(0.6, 1e-6);
        b.grad!.item().ShouldBe(0.8, 1e-6);
        adam.clip_grad_norm(2).ShouldBe(1, 1e-6);
        a.grad!.item().ShouldBe(0.6, 1e-6);
        adam.step(0.1);
        idle.item().ShouldBe(1);
    }
}
