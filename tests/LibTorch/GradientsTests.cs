namespace Qbb.LibTorch.Tests;

/// <summary>Gradients of one's own, against central differences in float64.</summary>
public class GradientsTests
{
    [Fact]
    public void Gradients_agree_with_finite_differences()
    {
        foreach (var (name, f) in new (string, Func<Tensor, Tensor>)[] { ("cube", Cube), ("product", x => Product(x, x.flip(1))) })
        {
            using var scope = torch.NewDisposeScope();
            double[] at = [0.31, -0.72, 1.13, -0.44, 0.95, 0.26];
            var x = torch.tensor(at, [2, 3]).requires_grad_();
            var probe = torch.randn(f(x).shape, ScalarType.Float64, generator: new Generator(11));
            Gradients.Backward((f(x) * probe).sum());
            var gradient = x.grad!.ToArray<double>();
            double At(int k, double step)
            {
                var moved = (double[])at.Clone();
                moved[k] += step;
                return (f(torch.tensor(moved, [2, 3])) * probe).sum().ToDouble();
            }
            for (var k = 0; k < at.Length; k++)
                gradient[k].ShouldBe((At(k, 1e-6) - At(k, -1e-6)) / 2e-6, 1e-6, $"{name}, element {k}");
        }
    }

    [Fact]
    public void Grad_leaves_the_leaves_alone_and_tells_what_does_not_matter()
    {
        using var scope = torch.NewDisposeScope();
        Tensor a = torch.tensor([2.0]).requires_grad_(), b = torch.tensor([3.0]).requires_grad_(), unused = torch.tensor([1.0]).requires_grad_();
        var g = Gradients.Of(a * a * b, [a, b, unused]);
        g[0]!.ToDouble().ShouldBe(12);
        g[1]!.ToDouble().ShouldBe(4);
        g[2].ShouldBeNull();
        a.grad.ShouldBeNull();
    }

    [Fact]
    public void Nothing_is_recorded_without_gradients()
    {
        using var scope = torch.NewDisposeScope();
        var x = torch.tensor([2.0]).requires_grad_();
        using (torch.no_grad())
            Cube(x).requires_grad.ShouldBeFalse();
        Cube(x).requires_grad.ShouldBeTrue();
    }

    [Fact]
    public void A_failing_backward_reports_its_own_exception_and_the_next_one_works()
    {
        using var scope = torch.NewDisposeScope();
        var x = torch.tensor([2.0]).requires_grad_();
        Tensor y;
        using (torch.no_grad())
            y = x * 1;
        Gradients.Record([x], [y], _ => throw new InvalidOperationException("no gradient today"));
        Should.Throw<TorchException>(() => Gradients.Backward(Cube(y))).Message.ShouldContain("InvalidOperationException: no gradient today");
        Gradients.Backward(Cube(x));
        x.grad!.ToDouble().ShouldBe(12);
    }

    [Fact]
    public void What_a_function_saved_goes_with_its_graph()
    {
        var saved = torch.ones([1]);
        var x = torch.tensor([2f]).requires_grad_();
        var y = x.detach().clone();
        Gradients.Record([x], [y], g => [g[0]], saved);
        saved.IsInvalid.ShouldBeFalse();
        y.Dispose();
        saved.IsInvalid.ShouldBeTrue();
        x.Dispose();
    }

    /// <summary>A copy of each output or gradient would be 4 MB a step.</summary>
    [Fact]
    public void A_thousand_steps_leave_no_memory_behind()
    {
        using var x = torch.ones([1024, 1024]).requires_grad_();
        void Run(int count)
        {
            for (var k = 0; k < count; k++)
            {
                using var scope = torch.NewDisposeScope();
                Gradients.Backward(Gradients.Checkpoint(Cube, Cube(x)).mean());
                x.grad = null;
            }
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
        Run(50);
        var before = Environment.WorkingSet;
        Run(1000);
        // One tensor kept by every step would be 4 GiB; the allocator keeps up to 512 MiB that other tests have freed.
        (Environment.WorkingSet - before).ShouldBeLessThan(1L << 30);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Checkpoints_give_value_and_gradients_of_the_plain_path(bool inputHasGradient)
    {
        using var scope = torch.NewDisposeScope();
        using var generator = new Generator(3);
        var x = torch.randn([4, 5], ScalarType.Float64, generator: generator).requires_grad_(inputHasGradient);
        var first = torch.randn([5, 6], ScalarType.Float64, generator: generator).requires_grad_();
        var second = torch.randn([6, 5], ScalarType.Float64, generator: generator).requires_grad_();
        var runs = 0;
        Tensor Block(Tensor t)
        {
            runs++;
            return t + torch.nn.functional.silu(t.matmul(first)).matmul(second);
        }

        var plain = Block(Block(x)).square().sum();
        Gradients.Backward(plain);
        var expected = Found();
        runs = 0;
        var kept = Gradients.Checkpoint(Block, Gradients.Checkpoint(Block, x, first, second), first, second).square().sum();
        runs.ShouldBe(2);
        kept.ToDouble().ShouldBe(plain.ToDouble());
        Gradients.Backward(kept);
        runs.ShouldBe(4);
        foreach (var (actual, wanted) in Found().Zip(expected))
            actual.ShouldBe(wanted);

        double[][] Found()
        {
            Tensor[] leaves = inputHasGradient ? [x, first, second] : [first, second];
            var gradients = leaves.Select(t => t.grad!.ToArray<double>()).ToArray();
            foreach (var leaf in leaves)
                leaf.grad = null;
            return gradients;
        }
    }

    [Fact]
    public void Steps_of_ones_own_work_within_checkpoints()
    {
        using var scope = torch.NewDisposeScope();
        var x = torch.tensor([3.0]).requires_grad_();
        Gradients.Backward(Gradients.Checkpoint(Cube, Gradients.Checkpoint(Cube, x)));
        x.grad!.ToDouble().ShouldBe(9 * Math.Pow(3, 8), 1e-6);
    }

    private static Tensor Cube(Tensor x)
    {
        Tensor y;
        using (torch.no_grad())
            y = x * x * x;
        var kept = Gradients.Save(x);
        Gradients.Record([x], [y], g => [g[0]! * kept.square() * 3], kept);
        return y;
    }

    private static Tensor Product(Tensor a, Tensor b)
    {
        Tensor y, sum;
        using (torch.no_grad())
            (y, sum) = (a * b, a + b);
        Tensor keptA = Gradients.Save(a), keptB = Gradients.Save(b);
        Gradients.Record([a, b], [y, sum], g => [g[0]! * keptB + g[1]!, g[0]! * keptA + g[1]!], keptA, keptB);
        return y * 2 + sum;
    }
}
