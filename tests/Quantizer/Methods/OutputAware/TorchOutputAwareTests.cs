using Qbb.Bases;
using Qbb.Cuda;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.OutputAware;
using Qbb.Recipes;
using Qbb.Tests.Emulation;

namespace Qbb.Quantizer.Tests.Methods.OutputAware;

/// <summary>The GPU's form against the CPU's: with emulated kernels where no GPU is.</summary>
public class TorchOutputAwareTests
{
    private static readonly Recipe Full = new() { Importance = Importance.Full };

    public static TheoryData<Recipe, int, int> Layers => new()
    {
        { Full with { Bases = 3, Group = 64 }, 9, 200 },
        { Full with { Bases = 2, Group = 100, Bias = false }, 17, 100 },
        { Full with { Bases = 1, Group = 50 }, 5, 120 },
        { Full with { Bases = 6, Group = null }, 3, 70 },
    };

    public static TheoryData<Recipe, int, int> LargerLayers => new()
    {
        { Full with { Bases = 2, Group = 128 }, 300, 576 },
        { Full with { Bases = 3, Group = 128 }, 300, 1536 },
        { Full with { Bases = 4, Group = 64, Bias = false }, 100, 1000 },
        { Full with { Bases = 8, Group = null }, 50, 300 },
    };

    [Theory]
    [MemberData(nameof(Layers), DisableDiscoveryEnumeration = true)]
    public void Steps_come_to_what_the_cpu_comes_to_emulated_in_double(Recipe recipe, int rows, int columns) =>
        Compare(new TorchOutputAware(recipe, torch.CPU, EmulatedKernels.Load, ScalarType.Float64), recipe, rows, columns, 0.002);

    [Fact]
    public void Steps_come_to_what_the_cpu_comes_to_emulated_in_single()
    {
        var recipe = Full with { Bases = 3, Group = 64 };
        Compare(new TorchOutputAware(recipe, torch.CPU, EmulatedKernels.Load, ScalarType.Float32), recipe, 9, 200, 0.005);
    }

    [Theory]
    [MemberData(nameof(Layers), DisableDiscoveryEnumeration = true)]
    [MemberData(nameof(LargerLayers), DisableDiscoveryEnumeration = true)]
    public void Steps_come_to_what_the_cpu_comes_to_on_the_gpu(Recipe recipe, int rows, int columns)
    {
        Assert.SkipUnless(torch.cuda.is_available(), "no GPU here");
        Compare(new TorchOutputAware(recipe, torch.CUDA), recipe, rows, columns, 0.005);
        Compare(new TorchOutputAware(recipe, torch.CUDA, KernelModule.LoadKernel, ScalarType.Float32), recipe, rows, columns, 0.005);
    }

    [Fact]
    public void Rows_are_solved_for_a_few_at_a_time_where_memory_is_short()
    {
        using var scope = torch.NewDisposeScope();
        using var inputs = Inputs.Correlated(96, 200, 6);
        var curvature = DeviceCurvature.Of(inputs.Mean(torch.CPU), "w", ScalarType.Float64);
        var shape = new DeviceShape(7, 96, 32, 2, true);
        var w = torch.tensor(Synthetic.Gaussian(7 * 96, 3), 7, 96).to(ScalarType.Float64);
        var kernels = new DeviceKernels(2, true, torch.CPU, ScalarType.Float64, EmulatedKernels.Load);
        var steps = new DeviceSteps(shape, w, curvature, kernels);
        var codes = torch.randint(0, 4, [7, 96]).to(ScalarType.Byte);
        var state = DeviceState.Of(codes, torch.full([2, 7, 3], 0.5, ScalarType.Float16), torch.zeros([7, 3], ScalarType.Float16), ScalarType.Float64);
        steps.Measure(state);
        var other = state.Copy();
        new DeviceScales(shape, curvature, kernels).Run(state);
        new DeviceScales(shape, curvature, kernels, batchBytes: 1).Run(other);
        other.Codes.ToArray<byte>().ShouldBe(state.Codes.ToArray<byte>());
        other.Alpha.ToArray<Half>().ShouldBe(state.Alpha.ToArray<Half>());
        other.Beta!.ToArray<Half>().ShouldBe(state.Beta!.ToArray<Half>());
    }

    [Fact]
    public void The_order_of_threads_changes_nothing()
    {
        using var inputs = Inputs.Correlated(200, 300, 7);
        var layer = new LayerWeights("w", 9, 200, Synthetic.StudentT5(9 * 200, 3)) { Inputs = inputs };
        var recipe = Full with { Bases = 3, Group = 64 };
        using var forwards = new TorchOutputAware(recipe, torch.CPU, EmulatedKernels.Load, ScalarType.Float64);
        using var backwards = new TorchOutputAware(recipe, torch.CPU, EmulatedKernels.LoadBackwards, ScalarType.Float64);
        var (one, other) = ((BinaryBases)forwards.Quantize(layer).Weight, (BinaryBases)backwards.Quantize(layer).Weight);
        other.Planes.ShouldBe(one.Planes);
        other.Alpha.ShouldBe(one.Alpha);
        other.Beta.ShouldBe(one.Beta);
    }

    private static void Compare(TorchOutputAware method, Recipe recipe, int rows, int columns, double tolerance)
    {
        using var owned = method;
        using var inputs = Inputs.Correlated(columns, 3 * columns, 7);
        var layer = new LayerWeights("w", rows, columns, Synthetic.StudentT5(rows * columns, 3)) { Inputs = inputs };
        var plain = new OutputAwareMethod(recipe).Quantize(layer).Report;
        var result = method.Quantize(layer);
        var (found, expected) = (result.Report.Output!, plain.Output!);
        TestContext.Current.TestOutputHelper!.WriteLine($"plain {string.Join(" ", expected.AfterStep.Select(v => v.ToString("g6")))}");
        TestContext.Current.TestOutputHelper!.WriteLine($"found {string.Join(" ", found.AfterStep.Select(v => v.ToString("g6")))}");
        found.Tokens.ShouldBe(expected.Tokens);
        found.Damping.ShouldBe(expected.Damping);
        found.Norm.ShouldBe(expected.Norm, 1e-4 * expected.Norm);
        for (var step = 0; step < expected.AfterStep.Count; step++)
        {
            found.AfterStep[step].ShouldBe(expected.AfterStep[step], tolerance * expected.AfterStep[step]);
            if (step > 0)
                found.AfterStep[step].ShouldBeLessThanOrEqualTo(found.AfterStep[step - 1]);
        }
        result.Report.RelativeError.ShouldBe(Synthetic.RelativeError(layer, result), 1e-6);
        result.Report.RelativeError.ShouldBe(plain.RelativeError, 0.02 * plain.RelativeError);
        for (var basis = 0; basis < recipe.Bases; basis++)
        {
            result.Report.InitErrorPerBase[basis].ShouldBe(plain.InitErrorPerBase[basis], 1e-9);
            result.Report.FlippedSigns[basis].ShouldBe(plain.FlippedSigns[basis], 0.05);
        }
        ((BinaryBases)result.Weight).GroupSize.ShouldBe(Math.Min(recipe.Group ?? columns, columns));
    }
}
