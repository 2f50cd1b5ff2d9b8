using Qbb.Models;
using Qbb.Quantizer.Distillation;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Distillation;

public class ScheduleTests
{
    [Fact]
    public void Swaps_rise_to_one_and_stay()
    {
        var swap = new SwapSchedule(new DistillationRecipe { Loss = DistillationLoss.KdMseSwap, Steps = 100, SwapEnd = 0.4, Seed = 3 }.Resolve());
        swap.ProbabilityAt(0).ShouldBe(1 / 40.0);
        swap.ProbabilityAt(19).ShouldBe(0.5);
        foreach (var step in new[] { 39, 40, 99 })
        {
            swap.ProbabilityAt(step).ShouldBe(1);
            swap.Draw(step, 0, 12).ShouldAllBe(student => student);
        }
        for (var step = 1; step < 100; step++)
            swap.ProbabilityAt(step).ShouldBeGreaterThanOrEqualTo(swap.ProbabilityAt(step - 1));
        // 200 passes of 30 blocks at a half: 6,000 draws have a standard deviation of 39.
        Enumerable.Range(0, 200).Sum(pass => swap.Draw(19, pass, 30).Count(student => student)).ShouldBeInRange(2800, 3200);
        Enumerable.Range(0, 50).ShouldAllBe(pass => swap.Draw(0, pass, 4).Contains(true));
        swap.Draw(7, 2, 30).ShouldBe(swap.Draw(7, 2, 30));
        Enumerable.Range(0, 20).Select(pass => string.Join("", swap.Draw(19, pass, 30))).Distinct().Count().ShouldBe(20);
    }

    [Theory]
    [InlineData(DistillationLoss.Kd, null), InlineData(DistillationLoss.KdMseSwap, 0.0)]
    public void Without_a_ramp_all_blocks_are_the_students(DistillationLoss loss, double? end)
    {
        var swap = new SwapSchedule(new DistillationRecipe { Loss = loss, SwapEnd = end }.Resolve());
        swap.Draw(0, 0, 5).ShouldAllBe(student => student);
    }

    [Fact]
    public void The_rate_rises_linearly_and_falls_along_a_cosine()
    {
        var recipe = new DistillationRecipe { Steps = 110, Warmup = 10, LearningRate = 2 };
        recipe.RateAt(0).ShouldBe(0.2, 1e-12);
        recipe.RateAt(9).ShouldBe(2, 1e-12);
        recipe.RateAt(10).ShouldBe(2, 1e-12);
        recipe.RateAt(60).ShouldBe(1, 1e-12);
        recipe.RateAt(109).ShouldBeLessThan(0.001);
        new DistillationRecipe { Steps = 3, Warmup = 0, LearningRate = 1 }.RateAt(0).ShouldBe(1);
    }

    [Fact]
    public void Every_epoch_has_every_sequence_once_and_none_that_is_held_out()
    {
        var order = new DataOrder(20, 0.2, seed: 4);
        order.HeldOut.Count.ShouldBe(4);
        order.TrainingCount.ShouldBe(16);
        var epochs = Enumerable.Range(0, 3).Select(epoch => order.Take(16 * epoch, 16)).ToArray();
        foreach (var epoch in epochs)
            epoch.Concat(order.HeldOut).Order().ShouldBe(Enumerable.Range(0, 20));
        epochs[0].ShouldNotBe(epochs[1]);
        // From the middle of the stream, as after an interruption, and across epochs.
        new DataOrder(20, 0.2, seed: 4).Take(10, 25).ShouldBe(epochs.SelectMany(epoch => epoch).Skip(10).Take(25));
        new DataOrder(20, 0.2, seed: 5).Take(0, 16).ShouldNotBe(epochs[0]);
        new DataOrder(2, 0.05, 0).HeldOut.Count.ShouldBe(1);
        new DataOrder(2, 0.5, 0).TrainingCount.ShouldBe(1);
        Should.Throw<InvalidInputException>(() => new DataOrder(1, 0.1, 0)).Message.ShouldContain("1 sequences");
    }

    [Fact]
    public void Choices_come_back_from_a_recipe_file()
    {
        foreach (var loss in Enum.GetValues<DistillationLoss>())
        {
            var recipe = new Recipe { Bases = 2, Distillation = new DistillationRecipe { Loss = loss, Steps = 77, LearningRate = 0.01, FeatureWeight = 0.5, Seed = 9, Precision = Precision.Bf16 } };
            Recipe.FromJson(recipe.ToCanonicalJson()).ShouldBe(recipe.Resolve());
            recipe.Digest.ShouldNotBe(new Recipe { Bases = 2 }.Digest);
        }
        new Recipe { Distillation = new DistillationRecipe() }.ToCanonicalJson().ShouldBe(
            """{"decomposition":{"bases":4,"bias":true,"embedding":8,"group":128,"init":"cascaded","refinement":"alternating","rounds":15,"seed":0,"starts":"both"},"distillation":{"accumulate":1,"batch":16,"clip":1,"evaluateEvery":50,"featureWeight":0,"heldOut":0.05,"learningRate":0.002,"loss":"kd","seed":0,"steps":400,"temperature":1,"type":"f32","warmup":20}}""");
        Should.Throw<InvalidInputException>(() => Recipe.FromJson("""{"decomposition":{},"distillation":{"loss":"best"}}""")).Message.ShouldContain("kd-mse-swap");
        Should.Throw<InvalidInputException>(() => Recipe.FromJson("""{"decomposition":{},"distillation":{"speed":1}}""")).Message.ShouldContain("distillation.speed");
    }

    [Fact]
    public void All_problems_of_the_choices_are_listed_at_once()
    {
        var message = Should.Throw<InvalidInputException>(() => new DistillationRecipe
        {
            Loss = DistillationLoss.Ce,
            Steps = 0,
            Batch = -1,
            LearningRate = double.NaN,
            Temperature = 2,
            SwapEnd = 2,
            HeldOut = 0.9,
            Precision = (Precision)7,
        }.Resolve()).Message;
        foreach (var part in new[] { "steps is 0", "batch is -1", "learningRate is NaN", "temperature is set", "swapEnd is 2", "heldOut is 0.9", "type must be f32 or bf16" })
            message.ShouldContain(part);
    }
}
