using Qbb.Quantizer.Distillation;
using Qbb.Recipes;
using Qbb.Tests.Emulation;

namespace Qbb.Quantizer.Tests.Distillation;

/// <summary>divergence.cu and distance.cu in f32, run on the CPU by the emulator.</summary>
public class EmulatedDivergenceTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(75, 1), InlineData(704, 2.5)]
    public void Divergence_and_gradient_are_those_of_the_plain_form(int vocabulary, double temperature)
    {
        const int seed = 37, positions = 3;
        const double tolerance = 1e-5;
        using var scope = NewDisposeScope();
        using var generator = new Generator(seed);
        var (student, teacher) = (randn([positions, vocabulary], generator: generator) * 3, randn([positions, vocabulary], generator: generator) * 3);
        var (loss, gradient) = (zeros([positions]), zeros([positions, vocabulary]));
        EmulatedKernels.Load(FusedDivergence.Kernels.Source(ScalarType.Float32), "divergence", torch.CPU).Launch(
            positions, 64, 0, student, teacher, loss, gradient, vocabulary, (float)(1 / temperature));
        for (var row = 0; row < positions; row++)
        {
            var (value, expected) = ReferenceLogitLoss.Of(DistillationLoss.Kd, Row(student, row), Row(teacher, row), 0, temperature);
            var error = Row(gradient, row).Zip(expected, (a, b) => Math.Abs(a - b)).Max() / expected.Max(Math.Abs);
            output.WriteLine($"seed {seed}: {loss.select(0, row).ToDouble():g9}, plain {value:g9}; gradient off by {error:e2}, allowed {tolerance:e1}");
            loss.select(0, row).ToDouble().ShouldBe(value, tolerance * value);
            error.ShouldBeLessThan(tolerance);
        }
    }

    [Theory]
    [InlineData(1000, 2), InlineData(13, 1), InlineData(4, 3)]
    public void Relative_distance_and_gradient_are_those_of_the_plain_form(int count, int blocks)
    {
        const int seed = 38;
        using var scope = NewDisposeScope();
        using var generator = new Generator(seed);
        var (x, t) = (randn([count], generator: generator).requires_grad_(), randn([count], generator: generator));
        var (partial, gradient) = (zeros([blocks, 2]), zeros([count]));
        var kernels = FusedDistance.Kernels.Source(ScalarType.Float32);
        EmulatedKernels.Load(kernels, "distance", torch.CPU).Launch(blocks, 64, 0, x.detach(), t, partial, (long)count);
        var norms = partial.sum([0]);
        EmulatedKernels.Load(kernels, "distance_backward", torch.CPU).Launch((count + 511) / 512, 64, 0, x.detach(), t, norms, full([1], 3f), gradient, (long)count);
        var expected = (x - t).square().sum() / t.square().sum();
        (expected * 3).backward();
        output.WriteLine($"seed {seed}: {(norms[0] / norms[1]).ToDouble():g9}, plain {expected.ToDouble():g9}");
        (norms[0] / norms[1]).ToDouble().ShouldBe(expected.ToDouble(), 1e-5 * expected.ToDouble());
        (gradient - x.grad!).abs().max().ToDouble().ShouldBeLessThan(1e-5 * x.grad!.abs().max().ToDouble());
    }

    private static double[] Row(Tensor x, int row) => x.select(0, row).to(ScalarType.Float64).ToArray<double>();
}
