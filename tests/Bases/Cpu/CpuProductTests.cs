using Qbb.Bases.Cpu;

namespace Qbb.Bases.Tests.Cpu;

public class CpuProductTests
{
    [Theory]
    [InlineData(1, 1, 1, 1), InlineData(3, 37, 200, 128), InlineData(4, 70, 129, 64), InlineData(2, 50, 300, int.MaxValue)]
    [InlineData(8, 33, 523, 300), InlineData(5, 17, 33, 7)]
    public void Lookups_and_expanded_tiles_agree_with_the_reference(int count, int rows, int columns, int group)
    {
        const double tolerance = 1e-5;
        using var scope = torch.NewDisposeScope();
        var seed = Random.Shared.Next();
        foreach (var integer in new ActivationScale?[] { null, ActivationScale.Token, ActivationScale.Group })
        {
            foreach (var bias in new[] { false, true })
            {
                var bases = RandomBases.Create(seed, count, rows, columns, group, bias);
                using var product = new CpuProduct(bases, new() { Integer = integer, Threads = 2 });
                using var generator = new Generator((ulong)seed);
                var x = torch.randn([3, 4, columns], generator: generator);
                var (looked, expanded) = (product.Lookup(x), product.Expand(x));
                looked.shape.ShouldBe([3, 4, rows]);
                expanded.shape.ShouldBe([3, 4, rows]);
                Difference(looked, expanded).ShouldBeLessThan(tolerance);
                if (integer is not null)
                    continue;
                var expected = new double[12 * rows];
                ReferenceProduct.Multiply(bases, x.to(ScalarType.Float64).ToArray<double>(), expected);
                var error = Difference(looked, torch.tensor(expected, 3, 4, rows));
                TestContext.Current.TestOutputHelper!.WriteLine($"seed {seed}: error {error:e2}, tolerance {tolerance:e2}");
                error.ShouldBeLessThan(tolerance);
            }
        }
    }

    [Fact]
    public void More_rows_than_the_buffer_holds_are_expanded_in_turns()
    {
        using var scope = torch.NewDisposeScope();
        var bases = RandomBases.Create(9, 1, 150, 40_000, 128, bias: true);
        using var product = new CpuProduct(bases, new() { Threads = 3 });
        using var generator = new Generator(9);
        var x = torch.randn([2, 40_000], generator: generator);
        Difference(product.Expand(x), product.Lookup(x)).ShouldBeLessThan(1e-5);
    }

    [Fact]
    public void The_result_has_the_type_of_the_input_and_belongs_to_the_callers_scope()
    {
        var bases = RandomBases.Create(9, 2, 20, 64, 32, bias: true);
        using var product = new CpuProduct(bases, new());
        Tensor y;
        using (torch.NewDisposeScope())
        {
            y = product.forward(torch.ones([2, 64]).to(ScalarType.BFloat16));
            y.dtype.ShouldBe(ScalarType.BFloat16);
            y.DetachFromDisposeScope();
        }
        y.shape.ShouldBe([2, 20]);
        y.Dispose();
    }

    [Fact]
    public void No_tokens_give_no_outputs()
    {
        using var scope = torch.NewDisposeScope();
        using var product = new CpuProduct(RandomBases.Create(9, 2, 20, 64, 32, bias: true), new());
        product.forward(torch.empty([0, 64])).shape.ShouldBe([0, 20]);
    }

    [Fact]
    public void Inputs_of_another_width_are_refused()
    {
        using var scope = torch.NewDisposeScope();
        using var product = new CpuProduct(RandomBases.Create(9, 2, 20, 64, 32, bias: true), new());
        Should.Throw<ArgumentException>(() => product.forward(torch.ones([2, 63]))).Message.ShouldContain("20 × 64");
    }

    private static double Difference(Tensor a, Tensor b)
    {
        using var scope = torch.NewDisposeScope();
        var (left, right) = (a.to(ScalarType.Float64), b.to(ScalarType.Float64));
        return Math.Sqrt((left - right).square().sum().ToDouble() / (right.square().sum().ToDouble() + 1e-30));
    }
}
