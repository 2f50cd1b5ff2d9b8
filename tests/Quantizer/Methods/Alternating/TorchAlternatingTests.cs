using Qbb.Bases;
using Qbb.Cuda;
using Qbb.Models;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Quantizer.Methods.OutputAware;
using Qbb.Recipes;
using Qbb.Tests.Emulation;

namespace Qbb.Quantizer.Tests.Methods.Alternating;

/// <summary>On the CPU as a device; the operators are the same on a GPU.</summary>
public class TorchAlternatingTests
{
    public static TheoryData<Recipe, int> Recipes => new()
    {
        { new Recipe { Bases = 1, Group = 64 }, 128 },
        { new Recipe { Bases = 2, Group = 64, Bias = false }, 128 },
        { new Recipe { Bases = 3, Group = 64 }, 200 },
        { new Recipe { Bases = 4, Group = 128 }, 200 },
        { new Recipe { Bases = 4, Group = null, Starts = Starts.Greedy }, 200 },
        { new Recipe { Bases = 4, Group = 128, Starts = Starts.Uniform, Bias = false }, 256 },
        { new Recipe { Bases = 3, Group = 32, Rounds = 1 }, 80 },
        { new Recipe { Bases = 6, Group = 128, Rounds = 4 }, 128 },
    };

    public static TheoryData<Recipe, int> FusedRecipes => new()
    {
        { new Recipe { Bases = 1, Group = 32, Bias = false, Starts = Starts.Greedy }, 70 },
        { new Recipe { Bases = 3, Group = 17 }, 40 },
        { new Recipe { Bases = 4, Group = 128 }, 300 },
        { new Recipe { Bases = 5, Group = 100 }, 230 },
        { new Recipe { Bases = 7, Group = 256, Rounds = 3 }, 300 },
        { new Recipe { Bases = 8, Group = null, Rounds = 2 }, 700 },
    };

    [Theory]
    [MemberData(nameof(Recipes), DisableDiscoveryEnumeration = true)]
    public void Finds_what_the_cpu_path_finds(Recipe recipe, int columns)
    {
        // A budget that makes several batches.
        using var method = new TorchAlternating(recipe, torch.CPU, batchBytes: 100_000);
        Compare(method, recipe, columns, 24);
    }

    [Theory]
    [MemberData(nameof(FusedRecipes), DisableDiscoveryEnumeration = true)]
    public void The_fused_kernel_finds_it_too_emulated_on_the_cpu(Recipe recipe, int columns)
    {
        using var method = new TorchAlternating(recipe, torch.CPU, 1, EmulatedKernels.Load);
        Compare(method, recipe, columns, 6);
    }

    [Theory]
    [MemberData(nameof(Recipes), DisableDiscoveryEnumeration = true)]
    [MemberData(nameof(FusedRecipes), DisableDiscoveryEnumeration = true)]
    public void The_fused_kernel_finds_it_too_on_the_gpu(Recipe recipe, int columns)
    {
        Assert.SkipUnless(torch.cuda.is_available(), "no GPU here");
        using var method = new TorchAlternating(recipe, torch.CUDA);
        Compare(method, recipe, columns, 500, looseness: 6);
    }

    /// <summary>
    /// The error is the same; the scales behind it need not be: in short groups several sets of scales give the same values, and then errors
    /// with fewer bases and single signs differ. Over many groups there are more of those, hence the looseness.
    /// </summary>
    private static void Compare(TorchAlternating method, Recipe recipe, int columns, int rows, int looseness = 1)
    {
        var layer = new LayerWeights("w", rows, columns, Synthetic.StudentT5(rows * columns, 31));
        var batched = method.Quantize(layer);
        var plain = new BasesMethod(recipe).Quantize(layer);

        var (found, expected) = ((BinaryBases)batched.Weight, (BinaryBases)plain.Weight);
        found.GroupSize.ShouldBe(expected.GroupSize);
        found.Groups.ShouldBe(expected.Groups);
        batched.Report.RelativeError.ShouldBe(plain.Report.RelativeError, 1e-4 * plain.Report.RelativeError);
        batched.Report.RelativeError.ShouldBe(Synthetic.RelativeError(layer, batched), 1e-6);
        var different = 0;
        for (var basis = 0; basis < recipe.Bases; basis++)
        {
            for (var row = 0; row < rows; row++)
                different += SignPacking.CountDifferences(found.Row(basis, row), expected.Row(basis, row), columns);
            batched.Report.ErrorPerBase[basis].ShouldBe(plain.Report.ErrorPerBase[basis], 1e-3 * looseness);
            batched.Report.InitErrorPerBase[basis].ShouldBe(plain.Report.InitErrorPerBase[basis], 1e-9);
            batched.Report.FlippedSigns[basis].ShouldBe(plain.Report.FlippedSigns[basis], 0.002 * looseness);
        }
        TestContext.Current.TestOutputHelper!.WriteLine($"{different} of {recipe.Bases * rows * columns} signs differ");
        different.ShouldBeLessThanOrEqualTo(looseness * recipe.Bases * rows * columns / 500);
        (found.Beta != null).ShouldBe(recipe.Bias);
        batched.Report.SubnormalScales.ShouldBe(plain.Report.SubnormalScales);
    }

    [Fact]
    public void Errors_count_by_column_in_the_fused_kernel_as_on_the_cpu()
    {
        using var inputs = new InputStatistics(200);
        using (torch.NewDisposeScope())
            inputs.Add(torch.tensor(Synthetic.Gaussian(50 * 200, 4), 50, 200) * torch.arange(1, 201, 1, ScalarType.Float32));
        var layer = new LayerWeights("w", 6, 200, Synthetic.StudentT5(6 * 200, 31)) { Inputs = inputs };
        var recipe = new Recipe { Bases = 3, Group = 64, Importance = Importance.Diag };
        using var method = new TorchAlternating(recipe, torch.CPU, 1, EmulatedKernels.Load);
        var (found, expected) = (method.Quantize(layer), new BasesMethod(recipe).Quantize(layer));
        found.Report.RelativeError.ShouldBe(expected.Report.RelativeError, 1e-4 * expected.Report.RelativeError);
        ((BinaryBases)found.Weight).Planes.ShouldBe(((BinaryBases)expected.Weight).Planes);
    }

    [Fact]
    public void Batches_of_any_size_give_the_same_bytes()
    {
        var layer = Synthetic.Layer(16, 200, 32);
        var recipe = new Recipe { Bases = 4, Group = 64 };
        using var large = new TorchAlternating(recipe, torch.CPU);
        using var small = new TorchAlternating(recipe, torch.CPU, batchBytes: 1);
        var (one, two) = ((BinaryBases)large.Quantize(layer).Weight, (BinaryBases)small.Quantize(layer).Weight);
        two.Planes.ShouldBe(one.Planes);
        two.Alpha.ShouldBe(one.Alpha);
        two.Beta.ShouldBe(one.Beta);
    }

    [Fact]
    public void Zeros_constants_and_grids_are_exact()
    {
        var w = new float[3 * 64];
        w.AsSpan(64, 64).Fill(0.25f);
        for (var j = 0; j < 64; j++)
            w[128 + j] = j * 7 % 16 * 0.125f - 0.5f;
        using var method = new TorchAlternating(new Recipe { Bases = 4, Group = 32 }, torch.CPU);
        method.Quantize(new LayerWeights("w", 3, 64, w)).Report.RelativeError.ShouldBeLessThan(1e-7);
        method.Quantize(new LayerWeights("w", 1, 64, new float[64])).Report.RelativeError.ShouldBe(0);
    }

    [Fact]
    public void Scales_beyond_fp16_are_refused_by_name()
    {
        var layer = new LayerWeights("big.weight", 1, 64, Synthetic.Gaussian(64, 1).Select(value => value * 1e6f).ToArray());
        using var method = new TorchAlternating(new Recipe(), torch.CPU);
        Should.Throw<InvalidInputException>(() => method.Quantize(layer)).Message.ShouldContain("big.weight");
    }

    [Fact]
    public void Recipes_that_need_the_cpu_get_it()
    {
        LayerMethods.For(new Recipe { Refinement = Refinement.Gradient }, new Device(DeviceType.CUDA, 0)).ShouldBeOfType<BasesMethod>();
        LayerMethods.For(new Recipe(), torch.CPU).ShouldBeOfType<BasesMethod>();
        Should.Throw<InvalidInputException>(() => new TorchAlternating(new Recipe { Init = Init.Random }, torch.CPU));
    }

    [Fact]
    public void A_plan_gives_a_gpu_to_those_recipes_that_have_a_use_for_it()
    {
        Recipe[] without =
        [
            new() { Nested = true }, new() { Init = Init.Random }, new() { Init = Init.Rtn, Refinement = Refinement.None }, new() { Rounds = 0 }, new() { Refinement = Refinement.Gradient },
            new Recipe().For(Target.Parse("gguf-q4_1")),
        ];
        foreach (var recipe in without)
        {
            WorkPlan.UsesGpu(recipe).ShouldBeFalse($"{recipe}");
            // A method of a GPU would not come to be on a machine without one.
            LayerMethods.For(recipe, new Device(DeviceType.CUDA, 0)).ShouldNotBeAssignableTo<TorchAlternating>($"{recipe}");
        }
        Recipe[] with = [new(), new() { Starts = Starts.Greedy }, new() { Nested = true, Importance = Importance.Full }, new() { Importance = Importance.Diag }];
        with.ShouldAllBe(recipe => WorkPlan.UsesGpu(recipe) && (recipe.Importance != Importance.None || TorchAlternating.Supports(recipe)));
    }
}
