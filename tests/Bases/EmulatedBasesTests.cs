using Qbb.Cuda;
using Qbb.Tests.Emulation;

namespace Qbb.Bases.Tests;

/// <summary>bases.cu in f32, run on the CPU by the emulator, against tensor operations.</summary>
public class EmulatedBasesTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(1, 5, 7, 3, false), InlineData(3, 6, 80, 40, true), InlineData(4, 3, 256, 128, true), InlineData(2, 9, 33, 33, true)]
    [InlineData(8, 2, 72, 20, false)]
    public void Weights_and_gradients_are_those_of_tensor_operations(int count, int outFeatures, int inFeatures, int group, bool beta)
    {
        const int seed = 29;
        const double tolerance = 1e-5;
        using var scope = NewDisposeScope();
        var bases = RandomBases.Create(seed, count, outFeatures, inFeatures, group, beta);
        using var layer = new BinaryLinear(bases, null, torch.CPU, ScalarType.Float32);
        using var generator = new Generator(seed);
        var planes = torch.from_array((int[])(object)bases.Planes, count, outFeatures, bases.WordsPerRow);
        var dense = randn([outFeatures, inFeatures], generator: generator);
        var (weight, alpha, bias) = (zeros([outFeatures, inFeatures]), zeros(layer.Alpha.shape), zeros([outFeatures, bases.Groups]));
        var units = (long)outFeatures * ((inFeatures + 7) / 8);
        Kernel("expand").Launch((int)((units + 63) / 64), 64, 0,
            planes, layer.Alpha, layer.Beta, weight, outFeatures, inFeatures, bases.WordsPerRow, bases.GroupSize, bases.Groups, units);
        Kernel("reduce").Launch((outFeatures * bases.Groups + 1) / 2, 64, 0,
            planes, dense, alpha, beta ? bias : null, outFeatures, inFeatures, bases.WordsPerRow, bases.GroupSize, bases.Groups);

        var (expectedAlpha, expectedBias) = layer.ReferenceGradients(dense, true, true);
        Check("weight", weight, layer.ReferenceWeight());
        Check("gradient of α", alpha, expectedAlpha!);
        if (beta)
            Check("gradient of β", bias, expectedBias!);

        IKernel Kernel(string name) =>
            EmulatedKernels.Load(DenseWeightKernels.All.Source(ScalarType.Float32, $"-DBASES={count}"), name, torch.CPU);

        void Check(string what, Tensor actual, Tensor expected)
        {
            var error = (actual - expected).abs().max().ToDouble() / expected.abs().max().ToDouble();
            output.WriteLine($"{what}: relative error {error:e2}, allowed {tolerance:e1}");
            error.ShouldBeLessThan(tolerance);
        }
    }
}
