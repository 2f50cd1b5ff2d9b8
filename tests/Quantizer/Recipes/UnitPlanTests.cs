using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Recipes;

/// <summary>What units take by the plan: far less than the time after which a broker takes a message back.</summary>
public sealed class UnitPlanTests(ITestOutputHelper output)
{
    private static readonly WorkMachine s_cpu = new(2, Gpu: false);
    private static readonly WorkMachine s_gpu = new(16, Gpu: true);

    [Theory]
    [InlineData("135M", false)]
    [InlineData("135M", true)]
    [InlineData("1B", false)]
    [InlineData("1B", true)]
    [InlineData("7B", false)]
    [InlineData("7B", true)]
    public void No_unit_of_a_plan_takes_more_than_five_minutes(string name, bool gpu)
    {
        var (model, machine) = (name switch { "135M" => Shapes.Small, "1B" => Shapes.Medium, _ => Shapes.Large }, gpu ? s_gpu : s_cpu);
        foreach (var preset in Enum.GetValues<Preset>())
        {
            var plan = QuantizationPlan.Create(preset, new Recipe { Bases = 3 }, model, 2048, machine);
            foreach (var (stage, seconds) in UnitPlan.LongestUnits(plan, model, machine, unitSeconds: 30))
            {
                output.WriteLine(FormattableString.Invariant($"{name}, {(gpu ? "GPU" : "2 cores")}, {preset}: {stage} {seconds:0} s"));
                seconds.ShouldBeLessThan(UnitPlan.Longest, $"{preset}: {stage}");
            }
        }
    }

    [Fact]
    public void More_weights_or_fewer_cores_sample_fewer_sequences_together()
    {
        UnitPlan.SampledTogether(Shapes.Large.Weights, 512, s_cpu).ShouldBe(3);
        UnitPlan.SampledTogether(Shapes.Small.Weights, 512, s_cpu).ShouldBeGreaterThan(64);
        UnitPlan.SampledTogether(Shapes.Large.Weights, 512, new WorkMachine(8, Gpu: false)).ShouldBe(12);
        UnitPlan.SampledTogether(1L << 40, 1 << 20, s_cpu).ShouldBe(1);
    }

    [Theory]
    [InlineData(8, 1, 3, 2, 4)]
    [InlineData(6, 2, 4, 3, 4)]
    [InlineData(7, 1, 4, 1, 7)]
    [InlineData(4, 1, 100, 4, 1)]
    [InlineData(4, 3, 0, 1, 12)]
    public void Passes_of_fewer_sequences_are_the_same_steps(int batch, int accumulate, int most, int rows, int passes)
    {
        var less = new DistillationRecipe { Batch = batch, Accumulate = accumulate }.InPassesOf(most);
        (less.Batch, less.Accumulate).ShouldBe((rows, passes));
        (less with { Batch = batch, Accumulate = accumulate }).ShouldBe(new DistillationRecipe { Batch = batch, Accumulate = accumulate });
    }

    /// <summary>A unit is halved until it fits the machine that does it, or until halving it does not help.</summary>
    [Fact]
    public void A_unit_is_cut_by_what_the_machine_shows()
    {
        var measured = new List<int>();
        int Cut(int planned, Func<int, double> takes)
        {
            measured.Clear();
            return UnitPlan.Cut(planned, 150, size =>
            {
                measured.Add(size);
                return takes(size);
            });
        }
        Cut(152, _ => 149).ShouldBe(152);
        measured.ShouldBe([152], "where the plan holds there is one trial");
        // Four times slower than planned, as the machine whose unit took 570 s.
        Cut(152, size => 3.75 * size).ShouldBe(38);
        measured.ShouldBe([152, 76, 38]);
        Cut(3, size => 1000 * size).ShouldBe(1);
        Cut(3, _ => 1000).ShouldBe(3, "bound by reading the weights: smaller units would only be more of them");
        Cut(64, size => 120 + 4 * size).ShouldBe(16, "from there on most of the time is what all share");
        Cut(1, _ => 1000).ShouldBe(1);
    }
}
