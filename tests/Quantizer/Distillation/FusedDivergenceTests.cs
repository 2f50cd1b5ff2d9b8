using Qbb.Quantizer.Distillation;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Distillation;

public class FusedDivergenceTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(ScalarType.Float32, 75, 1, 1e-5), InlineData(ScalarType.Float32, 4096, 2.5, 1e-5), InlineData(ScalarType.BFloat16, 4096, 1, 1e-2)]
    public void Divergence_and_gradient_are_those_of_the_plain_form(ScalarType type, int vocabulary, double temperature, double tolerance)
    {
        Assert.SkipUnless(cuda.is_available(), "no GPU here");
        const int seed = 31, positions = 5;
        using var scope = NewDisposeScope();
        using var generator = new Generator(seed);
        // Rounded first, so that both forms see the same logits.
        var student = (randn([positions, vocabulary], generator: generator) * 3).to(type);
        var teacher = (randn([positions, vocabulary], generator: generator) * 3).to(type);
        var leaf = student.to(torch.CUDA).requires_grad_();
        var sum = LogitLoss.Sum(DistillationLoss.Kd, leaf, teacher.to(torch.CUDA), zeros([positions], ScalarType.Int64), temperature);
        (sum * 2).backward();
        var (expected, error, largest) = (0.0, 0.0, 0.0);
        for (var row = 0; row < positions; row++)
        {
            var (value, gradient) = ReferenceLogitLoss.Of(
                DistillationLoss.Kd, Row(student, row), Row(teacher, row), 0, temperature);
            expected += value;
            largest = Math.Max(largest, gradient.Max(Math.Abs));
            error = Math.Max(error, Row(leaf.grad!, row).Zip(gradient, (a, b) => Math.Abs(a / 2 - b)).Max());
        }
        output.WriteLine($"seed {seed}: divergence {sum.ToDouble():g9}, plain {expected:g9}; gradient off by {error / largest:e2} of the largest, allowed {tolerance:e1}");
        sum.ToDouble().ShouldBe(expected, 1e-5 * expected);
        (error / largest).ShouldBeLessThan(tolerance);
    }

    [Theory]
    [InlineData(ScalarType.Float32, 1e-5), InlineData(ScalarType.BFloat16, 1e-2)]
    public void Relative_distance_and_gradient_are_those_of_the_plain_form(ScalarType type, double tolerance)
    {
        Assert.SkipUnless(cuda.is_available(), "no GPU here");
        using var scope = NewDisposeScope();
        using var generator = new Generator(33);
        var (x, t) = (randn([700, 577], generator: generator).to(type), randn([700, 577], generator: generator).to(type));
        var leaf = x.to(torch.CUDA).requires_grad_();
        var distance = FusedDistance.Relative(leaf, t.to(torch.CUDA));
        (distance * 2).backward();
        var plain = x.to(ScalarType.Float32).requires_grad_();
        var expected = (plain - t.to(ScalarType.Float32)).square().sum() / t.to(ScalarType.Float32).square().sum();
        (expected * 2).backward();
        distance.ToDouble().ShouldBe(expected.ToDouble(), 1e-5 * expected.ToDouble());
        (leaf.grad!.to(torch.CPU).to(ScalarType.Float32) - plain.grad!).abs().max().ToDouble().ShouldBeLessThan(tolerance * plain.grad!.abs().max().ToDouble());
    }

    private static double[] Row(Tensor x, int row) => x.select(0, row).to(torch.CPU).to(ScalarType.Float64).ToArray<double>();
}
