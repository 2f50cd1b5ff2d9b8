namespace Qbb.Bases.Tests;

public class DenseWeightKernelsTests(ITestOutputHelper output)
{
    private const int Seed = 23;

    [Theory]
    [InlineData(1, 5, 7, 3, false), InlineData(3, 70, 40, 16, true), InlineData(4, 33, 256, 128, true), InlineData(2, 70, 33, 33, true)]
    [InlineData(8, 9, 72, 20, false), InlineData(2, 64, 576, 64, true)]
    public void Weights_and_gradients_are_those_of_tensor_operations(int count, int outFeatures, int inFeatures, int group, bool beta)
    {
        Assert.SkipUnless(torch.cuda.is_available(), "no GPU here");
        using var scope = NewDisposeScope();
        var bases = RandomBases.Create(Seed, count, outFeatures, inFeatures, group, beta);
        using var generator = new Generator(Seed);
        var dense = randn([outFeatures, inFeatures], generator: generator);
        foreach (var (type, tolerance) in new[] { (ScalarType.Float32, 1e-5), (ScalarType.BFloat16, 5e-3), (ScalarType.Float16, 6e-4) })
        {
            using var layer = new BinaryLinear(bases, null, torch.CUDA, type);
            using var plain = new BinaryLinear(bases, null, torch.CPU, ScalarType.Float32);
            var given = dense.to(type);
            var planes = torch.from_array((int[])(object)bases.Planes, count, outFeatures, bases.WordsPerRow).to(torch.CUDA);
            var (alpha, bias) = DenseWeightKernels.Reduce(bases, planes, given.to(torch.CUDA), beta);
            var (expectedAlpha, expectedBias) = plain.ReferenceGradients(given, true, beta);
            var errors = (Difference(layer.Weight(), plain.ReferenceWeight()), Difference(alpha, expectedAlpha!),
                beta ? Difference(bias!, expectedBias!) : 0);
            output.WriteLine($"seed {Seed}, {type}: relative errors of weight, gradients of α and β {errors}, allowed {tolerance:e1}, 1e-5, 1e-5");
            errors.Item1.ShouldBeLessThan(tolerance);
            Math.Max(errors.Item2, errors.Item3).ShouldBeLessThan(1e-5);
        }
    }

    private static double Difference(Tensor actual, Tensor expected) =>
        (actual.to(torch.CPU).to(ScalarType.Float32) - expected).abs().max().ToDouble() / expected.abs().max().ToDouble();
}
