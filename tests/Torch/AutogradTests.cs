using static Qbb.Torch.torch;
using F = Qbb.Torch.torch.nn.functional;

namespace Qbb.Torch.Tests;

/// <summary>Gradients against central differences in float64.</summary>
public class AutogradTests
{
    private static readonly (string Name, Func<Tensor, Tensor> F)[] s_functions =
    [
        ("add", x => x + x * 2), ("sub", x => 3 - x), ("mul", x => x * x), ("div", x => 1 / (x + 3)), ("pow", x => (x + 3).pow(1.5)),
        ("exp", x => x.exp()), ("log", x => (x + 3).log()), ("sqrt", x => (x + 3).sqrt()), ("rsqrt", x => (x + 3).rsqrt()),
        ("square", x => x.square()), ("cos", x => x.cos()), ("sin", x => x.sin()), ("tanh", x => x.tanh()), ("sigmoid", x => x.sigmoid()),
        ("silu", F.silu), ("gelu", x => F.gelu(x)), ("gelu tanh", x => F.gelu(x, "tanh")), ("softmax", x => F.softmax(x, 1)),
        ("log_softmax", x => F.log_softmax(x, 1)), ("logsumexp", x => x.logsumexp(1)), ("mean", x => x.mean(1)), ("var", x => x.var(1)),
        ("norm", x => x.norm()), ("cumsum", x => x.cumsum(1)), ("matmul", x => x.matmul(x.t())), ("einsum", x => einsum("ij,kj->ik", x, x)),
        ("linear", x => F.linear(x, x, x.select(1, 0))), ("layer_norm", x => F.layer_norm(x, [3], x.select(0, 0), x.select(0, 1), 1e-5)),
        ("cross_entropy", x => F.cross_entropy(x, tensor([1L, 2L]))), ("mse_loss", x => F.mse_loss(x, x.flip(1))),
        ("index_select", x => x.index_select(1, tensor([2L, 0L, 2L]))), ("gather", x => x.gather(1, tensor([2L, 0L], 2, 1))),
        ("cat", x => cat([x, x * x], 1)), ("where", x => where(x.gt(0), x * 2, x * 3)), ("masked_fill", x => x.masked_fill(x.gt(0), 1) * x),
        ("expand", x => x.select(0, 0).expand(4, -1) * x.select(0, 1)), ("permute", x => x.permute(1, 0).reshape(-1) * x.flatten()),
        ("pad", x => F.pad(x, [1, 1], 0).square()), ("maximum", x => x.maximum(x.flip(1))), ("clamp", x => x.clamp(-0.5, 0.5)),
        ("cube of one's own", Cube), ("product of one's own", x => Product(x, x.flip(1))),
    ];

    [Fact]
    public void Gradients_agree_with_finite_differences()
    {
        foreach (var (name, f) in s_functions)
        {
            using var scope = NewDisposeScope();
            double[] at = [0.31, -0.72, 1.13, -0.44, 0.95, 0.26];
            var x = tensor(at, 2, 3).requires_grad_();
            var probe = randn(f(x).shape, new Generator(11), ScalarType.Float64);
            (f(x) * probe).sum().backward();
            var gradient = x.grad!.to_array<double>();
            double At(int k, double step)
            {
                var moved = (double[])at.Clone();
                moved[k] += step;
                return (f(tensor(moved, 2, 3)) * probe).sum().item();
            }
            for (var k = 0; k < at.Length; k++)
                gradient[k].ShouldBe((At(k, 1e-6) - At(k, -1e-6)) / 2e-6, 1e-6, $"{name}, element {k}");
        }
    }

    [Fact]
    public void Grad_leaves_the_leaves_alone_and_tells_what_does_not_matter()
    {
        using var scope = NewDisposeScope();
        Tensor a = tensor([2.0]).requires_grad_(), b = tensor([3.0]).requires_grad_(), unused = tensor([1.0]).requires_grad_();
        var g = autograd.grad(a * a * b, [a, b, unused]);
        g[0]!.item().ShouldBe(12);
        g[1]!.item().ShouldBe(4);
        g[2].ShouldBeNull();
        a.grad.ShouldBeNull();
    }

    [Fact]
    public void Second_derivatives_flow_through_created_graphs()
    {
        using var scope = NewDisposeScope();
        var x = tensor([2.0]).requires_grad_();
        var first = autograd.grad(x * x * x, [x], create_graph: true)[0]!;
        autograd.grad(first, [x])[0]!.item().ShouldBe(12);
    }

    [Fact]
    public void Nothing_is_recorded_without_gradients()
    {
        using var scope = NewDisposeScope();
        var x = tensor([2.0]).requires_grad_();
        using (no_grad())
        {
            is_grad_enabled().ShouldBeFalse();
            (x * 2).requires_grad.ShouldBeFalse();
            Cube(x).requires_grad.ShouldBeFalse();
            using (enable_grad())
                (x * 2).requires_grad.ShouldBeTrue();
        }
        is_grad_enabled().ShouldBeTrue();
    }

    [Fact]
    public void Gradients_add_up_until_they_are_freed()
    {
        using var scope = NewDisposeScope();
        var x = tensor([2.0]).requires_grad_();
        (x * 3).backward();
        (x * 4).backward();
        x.grad!.item().ShouldBe(7);
        x.grad = null;
        x.grad.ShouldBeNull();
    }

    [Fact]
    public void A_failing_backward_reports_its_own_exception()
    {
        using var scope = NewDisposeScope();
        var x = tensor([2.0]).requires_grad_();
        Tensor y;
        using (no_grad())
            y = x * 1;
        autograd.record([x], [y], _ => throw new InvalidOperationException("no gradient today"));
        Should.Throw<TorchException>(() => y.backward()).Message.ShouldContain("InvalidOperationException: no gradient today");
    }

    [Fact]
    public void What_a_function_saved_goes_with_its_graph()
    {
        var saved = ones([1]);
        var x = tensor([2f]).requires_grad_();
        var y = x.detach().clone();
        autograd.record([x], [y], g => [g[0]], saved);
        Should.NotThrow(() => saved.item());
        y.Dispose();
        Should.Throw<ObjectDisposedException>(() => saved.item());
        x.Dispose();
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

    private static Tensor Product(Tensor a, Tensor b)
    {
        Tensor y, sum;
        using (no_grad())
            (y, sum) = (a * b, a + b);
        Tensor keptA = a.detach().Save(), keptB = b.detach().Save();
        autograd.record([a, b], [y, sum], g => [g[0]! * keptB + g[1]!, g[0]! * keptA + g[1]!], keptA, keptB);
        return y * 2 + sum;
    }
}
