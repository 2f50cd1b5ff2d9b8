using Qbb.Quantizer.Distillation;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Distillation;

public sealed class CapturedPassTests(TinyModels models, ITestOutputHelper output) : IClassFixture<TinyModels>
{
    [Theory]
    [InlineData(DistillationLoss.Kd, 2.0, 0.01), InlineData(DistillationLoss.Kd, 0.0, null), InlineData(DistillationLoss.Ce, 0.0, null)]
    public void Steps_on_the_gpu_are_the_same_as_one_graph(DistillationLoss loss, double features, double? signRate)
    {
        if (!torch.cuda.is_available())
            Assert.Skip("no GPU");
        var recipe = new DistillationRecipe
        {
            Steps = 12,
            Batch = 4,
            LearningRate = 0.01,
            SignRate = signRate,
            FeatureWeight = features,
            Loss = loss,
            EvaluateEvery = 6,
            HeldOut = 0.2,
            Precision = Precision.Bf16,
        };
        var (plain, captured) = (Losses(false), Losses(true));
        output.WriteLine(string.Join(", ", plain.Zip(captured, (a, b) => $"{a:g8} {b:g8}")));
        for (var step = 0; step < plain.Count; step++)
            captured[step].ShouldBe(plain[step], 1e-4 * plain[step], $"step {step + 1}");

        List<double> Losses(bool graphs)
        {
            using var pair = models.Load(ScalarType.BFloat16, torch.CUDA);
            using var trainer = new DistillationTrainer(pair.Student, pair.Teacher, TinyModels.Data(24, length: 17), recipe, new DistillationOptions { Device = torch.CUDA, CudaGraphs = graphs });
            var losses = Enumerable.Range(0, recipe.Steps).Select(step => trainer.Step(step, recipe.RateAt(step))).ToList();
            trainer.IsCaptured.ShouldBe(graphs);
            return losses;
        }
    }

    [Fact]
    public void Sequences_of_several_lengths_are_trained_on_without_a_graph()
    {
        if (!torch.cuda.is_available())
            Assert.Skip("no GPU");
        using var pair = models.Load(ScalarType.BFloat16, torch.CUDA);
        using var trainer = new DistillationTrainer(
            pair.Student, pair.Teacher, TinyModels.Data(24), new DistillationRecipe { Steps = 4, Batch = 4, Precision = Precision.Bf16 }, new DistillationOptions { Device = torch.CUDA });
        double.IsFinite(trainer.Step(0, 0.01)).ShouldBeTrue();
        trainer.IsCaptured.ShouldBeFalse();
    }
}
