using System.Text.Json.Nodes;
using Qbb.Contracts;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Recipes;

/// <summary>What each preset decides, from counts alone.</summary>
public class QuantizationPlanTests
{
    private static readonly WorkMachine s_cpu = new(2, Gpu: false), s_bf16 = new(2, Gpu: false, Bf16: true), s_gpu = new(16, Gpu: true);
    private static readonly Recipe s_three = new() { Bases = 3 };

    // 2 cores in 10 minutes: steps enough for a distillation to help do not fit, so that the time goes into calibration.
    [Fact]
    public void A_plan_without_time_for_training_calibrates_on_more()
    {
        var (balanced, fast) = (Plan(Preset.Balanced), Plan(Preset.Fast));
        balanced.Distillation.ShouldBeNull();
        balanced.CalibrationSequences.ShouldBeGreaterThan(fast.CalibrationSequences);
        balanced.Seconds.ShouldBeInRange(fast.Seconds, 600);
        balanced.MemoryBytes.ShouldBeLessThan(1_500_000_000);

        static QuantizationPlan Plan(Preset preset) => QuantizationPlan.Create(preset, s_three, Shapes.Small, 2048, s_bf16);
    }

    /// <summary>A processor without AVX-512 gets a smaller plan for the same time, not a longer one.</summary>
    [Fact]
    public void A_slower_processor_is_given_less_work()
    {
        var (fast, slow) = (Plan(s_cpu), Plan(s_cpu with { Avx512 = false }));
        slow.CalibrationSequences.ShouldBeLessThan(fast.CalibrationSequences);
        slow.Seconds.ShouldBeInRange(400, 600);

        static QuantizationPlan Plan(WorkMachine machine) => QuantizationPlan.Create(Preset.Balanced, s_three, Shapes.Small, 2048, machine);
    }

    /// <summary>A policy that names a preset runs, for each model, what the command with that preset plans on such a machine.</summary>
    [Theory]
    [InlineData("weights"), InlineData("fast"), InlineData("balanced"), InlineData("best")]
    public void A_recipe_with_a_preset_is_what_the_preset_plans(string name)
    {
        var recipe = PipelineRecipe.Parse($$"""{ "preset": "{{name}}", "decomposition": { "bases": 3 }, "evaluation": { "windows": 5 } }""");
        foreach (var machine in (WorkMachine[])[s_cpu, s_bf16, s_gpu])
        {
            var planned = recipe.Planned(Shapes.Small, 2048, machine);
            planned.Preset.ShouldBeNull();
            planned.Evaluation.ToJsonString().ShouldBe("""{"windows":5}""");
            var expected = PipelineRecipe.Parse(QuantizationPlan.Create(Presets.Find(name)!.Value, s_three, Shapes.Small, 2048, machine).ToRecipeJson());
            (planned with { Evaluation = expected.Evaluation }).Digest.ShouldBe(expected.Digest);
            RecipeCheck.Problems(planned.ToJson()).ShouldBeEmpty();
            planned.Planned(Shapes.Small, 2048, machine).ShouldBeSameAs(planned);
        }
    }

    [Theory]
    [InlineData("""{ "preset": "quick" }""", "preset quick is unknown: give weights, fast, balanced, best")]
    [InlineData("""{ "preset": "fast", "decomposition": { "refinement": "gradient" } }""", "takes no calibration, which preset fast needs: use preset weights")]
    [InlineData("""{ "preset": "weights", "decomposition": { "init": "gptq", "refinement": "none" } }""", "init gptq needs data, which preset weights has none of")]
    public void A_preset_that_cannot_be_carried_out_is_refused(string recipe, string said) =>
        string.Join("; ", RecipeCheck.Problems(recipe)).ShouldContain(said);

    [Fact]
    public void Weights_take_no_data()
    {
        var plan = QuantizationPlan.Create(Preset.Weights, s_three, Shapes.Small, 2048, s_cpu);
        (plan.Sampling, plan.Distillation, plan.Decomposition.Importance).ShouldBe((null, null, Importance.None));
        plan.Stages.Select(stage => stage.Name).ShouldBe([QuantizationPlan.Quantizing]);
    }

    [Fact]
    public void Fast_calibrates_on_most_of_what_it_samples_and_scores_the_rest()
    {
        var plan = QuantizationPlan.Create(Preset.Fast, s_three, Shapes.Small, 2048, s_cpu);
        plan.Decomposition.Importance.ShouldBe(Importance.Full);
        plan.Distillation.ShouldBeNull();
        plan.Sampling!.Sequences.ShouldBeGreaterThan(plan.CalibrationSequences);
        plan.Stages.Select(stage => stage.Name).ShouldBe(["sample", "quantize", "score"]);
    }

    [Fact]
    public void Balanced_keeps_to_its_time()
    {
        foreach (var (machine, most) in new[] { (s_cpu, 600.0), (s_bf16, 600.0), (s_gpu, 180.0) })
        {
            foreach (var model in new[] { Shapes.Tiny, Shapes.Small })
            {
                var plan = QuantizationPlan.Create(Preset.Balanced, s_three, model, 2048, machine);
                plan.Seconds.ShouldBeLessThan(most, $"{machine}, {model.Weights} weights");
            }
        }
        QuantizationPlan.Create(Preset.Best, s_three, Shapes.Small, 2048, s_bf16).Distillation!.Precision.ShouldBe(Precision.Bf16);
        QuantizationPlan.Create(Preset.Balanced, s_three, Shapes.Tiny, 512, s_bf16).Distillation!.Precision.ShouldBe(Precision.F32);
        QuantizationPlan.Create(Preset.Balanced, s_three, Shapes.Small, 2048, s_gpu).Distillation!.SignRate.ShouldNotBeNull();
    }

    [Fact]
    public void Best_works_longer_than_balanced_and_stops_when_nothing_is_won()
    {
        foreach (var machine in new[] { s_bf16, s_gpu })
        {
            var (balanced, best) = (Plan(Preset.Balanced), Plan(Preset.Best));
            best.Seconds.ShouldBeGreaterThan(balanced.Seconds);
            best.Distillation!.Steps.ShouldBeGreaterThan(balanced.Distillation?.Steps ?? 0);
            (best.Distillation.Patience, balanced.Distillation?.Patience).ShouldBe((3, null));
            QuantizationPlan Plan(Preset preset) => QuantizationPlan.Create(preset, s_three, Shapes.Small, 2048, machine);
        }
        QuantizationPlan.Create(Preset.Best, s_three, Shapes.Small, 2048, s_gpu).Seconds.ShouldBeLessThan(600);
    }

    [Fact]
    public void A_model_too_large_for_the_time_is_calibrated_and_not_distilled()
    {
        var plan = QuantizationPlan.Create(Preset.Balanced, s_three, Shapes.Large, 4096, s_cpu);
        plan.Distillation.ShouldBeNull();
        plan.CalibrationSequences.ShouldBe(16);
    }

    [Fact]
    public void A_short_context_shortens_the_sequences() =>
        QuantizationPlan.Create(Preset.Balanced, s_three, Shapes.Tiny, 64, s_cpu).Sampling!.Length.ShouldBe(64);

    /// <summary>Same inputs, same plan: an interrupted command resumes. Its recipe is one that a pipeline takes, and is read as the same plan.</summary>
    [Theory]
    [InlineData(Preset.Weights), InlineData(Preset.Fast), InlineData(Preset.Balanced), InlineData(Preset.Best)]
    public void A_plan_is_a_function_of_its_inputs_and_a_recipe(Preset preset)
    {
        foreach (var machine in new[] { s_cpu, s_bf16, s_gpu })
        {
            var plan = Plan();
            var json = plan.ToRecipeJson();
            json.ShouldBe(Plan().ToRecipeJson());
            RecipeCheck.Problems(json).ShouldBeEmpty();
            PipelineRecipe.Parse(json).ToJson().ShouldBe(
                CanonicalJson.Write(new JsonObject([.. JsonNode.Parse(json)!.AsObject().Select(part => KeyValuePair.Create(part.Key, part.Value?.DeepClone())), KeyValuePair.Create("evaluation", (JsonNode?)new JsonObject())])));
            var read = QuantizationPlan.Of(QuantizationRecipe.Parse(json), Shapes.Small, machine);
            (read.Sampling, read.Distillation, read.Filter).ShouldBe((plan.Sampling, plan.Distillation?.Resolve(), plan.Filter));
            read.Decomposition.ShouldBe(plan.Decomposition.Resolve());
            QuantizationPlan Plan() => QuantizationPlan.Create(preset, s_three, Shapes.Small, 2048, machine);
        }
    }

    [Fact]
    public void Other_data_and_training_change_the_stages()
    {
        var plan = QuantizationPlan.Create(Preset.Balanced, s_three, Shapes.Small, 2048, s_gpu);
        var changed = plan.With(plan.Sampling! with { Sequences = 20 }, new FilterOptions { Keep = 0.5 }, plan.Distillation! with { Steps = 3 }, Shapes.Small, s_gpu);
        changed.CalibrationSequences.ShouldBe(12);
        changed.Filter!.Keep.ShouldBe(0.5);
        changed.Seconds.ShouldBeLessThan(plan.Seconds);
    }
}
