using Qbb.Models;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Recipes;

/// <summary>Estimates against what was measured as <see cref="WorkPlan"/> says: CPU seconds of one thread, and the peak of memory.</summary>
public class WorkPlanTests(ITestOutputHelper output)
{
    private static readonly WorkMachine s_core = new(Cores: 1, Gpu: false);

    [Theory]
    [InlineData(2, 128, "11.7 338")]
    [InlineData(3, 128, "13.5 352")]
    [InlineData(4, 128, "18.8 341")]
    public void Quantizing_weights_alone(int bases, int group, string measured) =>
        Near(WorkPlan.Quantize(Shapes.Small, new Recipe { Bases = bases, Group = group }, 0, 0, s_core), measured);

    /// <summary>Extrapolated from the first 63 of 210 layers, which took 113 s.</summary>
    [Fact]
    public void Quantizing_with_calibration() =>
        Near(WorkPlan.Quantize(Shapes.Small, new Recipe { Bases = 3, Importance = Importance.Full }, 32 * 512, 512, s_core), "376 1050");

    [Theory]
    [InlineData(1, 2048, "13.6 1441")]
    [InlineData(2, 2048, "24.8 1743")]
    [InlineData(4, 512, "11.1 1195")]
    public void Scoring(int windows, int context, string measured) => Near(WorkPlan.Evaluate(Shapes.Small, windows, context, s_core), measured);

    [Fact]
    public void Generating() => Near(WorkPlan.Generate(Shapes.Small, 128, s_core), "10.5 916");

    [Fact]
    public void The_output_has_the_size_that_is_planned()
    {
        Ratio(WorkPlan.OutputBytes(Shapes.Small, new Recipe { Bases = 3 }), 76_020_128).ShouldBeLessThan(1.01);
        Ratio(WorkPlan.OutputBytes(Shapes.Small, new Recipe { Bases = 2, Group = 32 }), 76_745_400).ShouldBeLessThan(1.01);
    }

    /// <summary>docs/results-gpu.md, LLaMA-2-7B's shape: 50.4 s of output-aware steps; 1.70 s and 15.7 s of weights alone. Its 13.5 GB on the CPU peaked at 1.54 GB.</summary>
    [Fact]
    public void Large_models()
    {
        WorkEstimate OnGpu(Importance importance, int bases) => WorkPlan.Quantize(
            Shapes.Large, new Recipe { Bases = bases, Importance = importance }, importance == Importance.None ? 0 : 128 * 2048, 2048, new(16, Gpu: true))!;
        var full = OnGpu(Importance.Full, 3);
        Ratio(full.Seconds - OnGpu(Importance.Diag, 3).Seconds, 50.4).ShouldBeLessThan(2);
        Ratio(full.GpuBytes, 9.8e9).ShouldBeLessThan(2);
        Ratio(OnGpu(Importance.None, 8).Seconds - OnGpu(Importance.None, 4).Seconds, 14).ShouldBeLessThan(2);
        Ratio(WorkPlan.Quantize(Shapes.Large, new Recipe { Bases = 2 }, 0, 0, new(2, false))!.MemoryBytes, 1.54e9).ShouldBeLessThan(2);
    }

    [Fact]
    public void More_work_takes_longer_and_more_cores_less()
    {
        var recipe = new Recipe { Bases = 3 };
        var one = WorkPlan.Quantize(Shapes.Small, recipe, 0, 0, s_core)!;
        WorkPlan.Quantize(Shapes.Small, recipe with { Bases = 4 }, 0, 0, s_core)!.Seconds.ShouldBeGreaterThan(one.Seconds);
        WorkPlan.Quantize(Shapes.Small, recipe with { Rounds = 30 }, 0, 0, s_core)!.Seconds.ShouldBeGreaterThan(one.Seconds);
        WorkPlan.Quantize(Shapes.Small, recipe, 0, 0, new(2, false))!.Seconds.ShouldBeLessThan(one.Seconds);
        WorkPlan.Quantize(Shapes.Large, recipe, 0, 0, s_core)!.Seconds.ShouldBeGreaterThan(one.Seconds);
        var calibrated = WorkPlan.Quantize(Shapes.Small, recipe with { Importance = Importance.Full }, 1000, 500, s_core)!;
        calibrated.Seconds.ShouldBeGreaterThan(WorkPlan.Quantize(Shapes.Small, recipe with { Importance = Importance.Diag }, 1000, 500, s_core)!.Seconds);
        WorkPlan.Quantize(Shapes.Small, recipe with { Importance = Importance.Full }, 2000, 500, s_core)!.Seconds.ShouldBeGreaterThan(calibrated.Seconds);
        WorkPlan.Quantize(Shapes.Small, recipe with { Init = Init.Rtn, Refinement = Refinement.None }, 0, 0, s_core)!.Seconds.ShouldBeLessThan(one.Seconds);
    }

    [Fact]
    public void What_was_not_measured_has_no_estimate()
    {
        WorkPlan.Quantize(Shapes.Small, new Recipe { Refinement = Refinement.Gradient }, 0, 0, s_core).ShouldBeNull();
        WorkPlan.Quantize(Shapes.Small, new Recipe { Nested = true }, 0, 0, s_core).ShouldBeNull();
    }

    /// <param name="estimate">What is planned.</param>
    /// <param name="measured">Seconds of a core and MB.</param>
    private void Near(WorkEstimate? estimate, string measured)
    {
        var parts = measured.Split(' ').Select(double.Parse).ToArray();
        output.WriteLine($"{estimate!.Seconds:0.0} s, measured {parts[0]}; {estimate.MemoryBytes / 1e6:0} MB, measured {parts[1]}");
        Ratio(estimate.Seconds, parts[0]).ShouldBeLessThan(2);
        Ratio(estimate.MemoryBytes / 1e6, parts[1]).ShouldBeLessThan(2);
    }

    private static double Ratio(double a, double b) => Math.Max(a / b, b / a);
}

/// <summary>Counts of models to plan for.</summary>
internal static class Shapes
{
    /// <summary>SmolLM2-135M-Instruct as Q4_1.</summary>
    public static readonly ModelCounts Small = Llama(hidden: 576, inner: 1536, keyValues: 192, blocks: 30, vocabulary: 49152, tied: true, fileBytes: 98_362_432);

    /// <summary>Llama-3.2-1B.</summary>
    public static readonly ModelCounts Medium = Llama(hidden: 2048, inner: 8192, keyValues: 512, blocks: 16, vocabulary: 128_256, tied: true, fileBytes: 2_471_645_608);

    /// <summary>LLaMA-2-7B.</summary>
    public static readonly ModelCounts Large = Llama(hidden: 4096, inner: 11008, keyValues: 4096, blocks: 32, vocabulary: 32000, tied: false, fileBytes: 13_476_831_232);

    /// <summary>stories260k.</summary>
    public static readonly ModelCounts Tiny = Llama(hidden: 64, inner: 172, keyValues: 32, blocks: 5, vocabulary: 512, tied: true, fileBytes: 1_050_000);

    private static ModelCounts Llama(int hidden, int inner, int keyValues, int blocks, int vocabulary, bool tied, long fileBytes) => new()
    {
        Linears = [.. Enumerable.Repeat<(int, int)[]>(
            [(hidden, hidden), (keyValues, hidden), (keyValues, hidden), (hidden, hidden), (inner, hidden), (inner, hidden), (hidden, inner)], blocks)
            .SelectMany(block => block)],
        OtherWeights = (tied ? 1L : 2L) * vocabulary * hidden + (2 * blocks + 1) * hidden,
        Embeddings = [.. Enumerable.Repeat((vocabulary, hidden), tied ? 1 : 2)],
        Vocabulary = vocabulary,
        Hidden = hidden,
        Blocks = blocks,
        QueryWidth = hidden,
        KeyValueWidth = keyValues,
        FileBytes = fileBytes,
    };
}
