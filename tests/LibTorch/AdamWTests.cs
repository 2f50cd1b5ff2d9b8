namespace Qbb.LibTorch.Tests;

public class AdamWTests
{
    [Fact]
    public void Steps_follow_the_papers_formula()
    {
        using var scope = torch.NewDisposeScope();
        double[] p = [1, -2], m = [0, 0], v = [0, 0];
        var x = torch.tensor(p).requires_grad_();
        using var adam = new AdamW([(x, 0.1)], 0.9, 0.95, 1e-8);
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
                x.select(0, k).ToDouble().ShouldBe(p[k], 1e-12);
            }
        }
    }

    [Fact]
    public void Clipping_bounds_the_common_norm()
    {
        using var scope = torch.NewDisposeScope();
        Tensor a = torch.tensor([3.0]).requires_grad_(), b = torch.tensor([4.0]).requires_grad_(), idle = torch.tensor([1.0]).requires_grad_();
        using var adam = new AdamW([(a, 0), (b, 0), (idle, 0)]);
        (a.square() / 2 + b.square() / 2).backward();
        adam.clip_grad_norm(1).ShouldBe(5, 1e-12);
        a.grad!.ToDouble().ShouldBe(0.6, 1e-6);
        b.grad!.ToDouble().ShouldBe(0.8, 1e-6);
        adam.clip_grad_norm(2).ShouldBe(1, 1e-6);
        a.grad!.ToDouble().ShouldBe(0.6, 1e-6);
        adam.step(0.1);
        idle.ToDouble().ShouldBe(1);
    }

    [Fact]
    public void A_state_that_comes_back_gives_the_same_steps()
    {
        using var scope = torch.NewDisposeScope();
        var (a, b) = (torch.tensor([1.0, -2.0]).requires_grad_(), torch.tensor([0.5]).requires_grad_());
        using var adam = new AdamW([(a, 0.1), (b, 0)]);
        Step(adam, 3);
        var state = adam.state_dict();
        state = state with { exp_avg = [.. state.exp_avg.Select(t => t.clone())], exp_avg_sq = [.. state.exp_avg_sq.Select(t => t.clone())] };
        var (a3, b3) = (a.detach().clone(), b.detach().clone());
        Step(adam, 4);
        var expected = (a.ToArray<double>(), b.ToArray<double>());

        using (torch.no_grad())
        {
            a.copy_(a3);
            b.copy_(b3);
        }
        using var other = new AdamW([(a, 0.1), (b, 0)]);
        other.load_state_dict(state);
        Step(other, 4);
        a.ToArray<double>().ShouldBe(expected.Item1);
        b.ToArray<double>().ShouldBe(expected.Item2);
        Should.Throw<ArgumentException>(() => new AdamW([(a, 0)]).load_state_dict(state)).Message.ShouldContain("2 parameters");

        // b has no gradient in every other step.
        void Step(AdamW optimizer, int count)
        {
            for (var k = 0; k < count; k++)
            {
                optimizer.zero_grad();
                (k % 2 == 0 ? a.square().sum() + (b - 2).square().sum() : a.square().sum()).backward();
                optimizer.step(0.05);
            }
        }
    }

    [Fact]
    public void A_parameter_counts_its_own_steps()
    {
        using var scope = torch.NewDisposeScope();
        var (a, late) = (torch.tensor([1.0]).requires_grad_(), torch.tensor([1.0]).requires_grad_());
        using var adam = new AdamW([(a, 0), (late, 0)]);
        for (var k = 0; k < 5; k++)
        {
            adam.zero_grad();
            a.square().backward();
            adam.step(0.01);
        }
        adam.zero_grad();
        late.square().backward();
        adam.step(0.01);
        // The first step of Adam is the sign of the gradient times the rate.
        late.ToDouble().ShouldBe(0.99, 1e-9);
    }
}
