using Qbb.Models.Decoder;
using Qbb.Quantizer.Distillation;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Distillation;

public sealed class DistillationTrainerTests(TinyModels models, ITestOutputHelper output) : IClassFixture<TinyModels>
{
    private static readonly DistillationRecipe Small = new() { Steps = 30, Batch = 4, LearningRate = 0.01, EvaluateEvery = 10, HeldOut = 0.2 };

    [Theory]
    [InlineData(DistillationLoss.Ce, 0, false), InlineData(DistillationLoss.Kd, 0, false), InlineData(DistillationLoss.Kd, 0.1, true), InlineData(DistillationLoss.KdMse, 0, false), InlineData(DistillationLoss.KdMseSwap, 0, true)]
    public void Loss_falls(DistillationLoss loss, double featureWeight, bool checkpointing)
    {
        using var pair = models.Load();
        var recipe = Small with { Loss = loss, FeatureWeight = featureWeight, SwapEnd = loss == DistillationLoss.KdMseSwap ? 0.3 : null };
        using var trainer = new DistillationTrainer(pair.Student, pair.Teacher, TinyModels.Data(10), recipe, new DistillationOptions { ActivationCheckpointing = checkpointing });
        var losses = new List<double>();
        var result = trainer.Run(models.NewPath(), new Told(progress => losses.Add(progress.Loss)));
        output.WriteLine($"loss {losses[0]:g4} -> {losses[^1]:g4}, held out {result.Start} -> {result.Best}");
        losses.Count.ShouldBe(30);
        // With swaps the first losses are those of a stack that is nearly the teacher's: compare from where all blocks are the student's.
        var from = loss == DistillationLoss.KdMseSwap ? 9 : 0;
        losses.TakeLast(4).Average().ShouldBeLessThan(losses.Skip(from).Take(4).Average() * (loss == DistillationLoss.Ce ? 0.999 : 0.97));
        if (loss != DistillationLoss.Ce)
            result.Best.HeldOut.Kl.ShouldBeLessThan(result.Start.Kl);
        result.Curve.Select(point => point.Step).ShouldBe([0, 10, 20, 30]);
    }

    /// <summary>It never looks at the held-out sequences ahead, nor takes the last step.</summary>
    [Fact]
    public void Running_ahead_of_checkpoints_changes_nothing()
    {
        using var pair = models.Load();
        using var whole = new DistillationTrainer(pair.Student, pair.Teacher, TinyModels.Data(10), Small, new DistillationOptions());
        var expected = whole.Run(models.NewPath());

        using var other = models.Load();
        using var trainer = new DistillationTrainer(other.Student, other.Teacher, TinyModels.Data(10), Small, new DistillationOptions());
        var (path, ahead, steps) = (models.NewPath(), 0, 0);
        while (true)
        {
            var (state, result) = trainer.Run(path, taken => taken == 3, new Told(progress => steps++));
            if (result is not null)
            {
                result.Curve.ShouldBe(expected.Curve);
                steps.ShouldBeLessThan(Small.Steps, "some were taken ahead");
                break;
            }
            var before = ahead;
            trainer.RunAhead(() => ++ahead > before + 20);
            (state.Step / Small.EvaluateEvery).ShouldBeLessThan(3);
        }
    }

    [Theory]
    [InlineData(DistillationLoss.Kd), InlineData(DistillationLoss.KdMse), InlineData(DistillationLoss.Ce)]
    public void Gradients_agree_with_finite_differences(DistillationLoss loss)
    {
        using var pair = models.Load(ScalarType.Float64);
        using var scope = torch.NewDisposeScope();
        using var scales = new TrainedScales(pair.Student);
        var batch = new TokenBatch(TinyModels.Data(3), [0, 1, 2]);
        Loss().backward();
        foreach (var scale in scales.All.Where(scale => scale.Name.Contains("o_proj") || scale.Name.Contains("up_proj")))
        {
            var gradient = scale.Value.grad!.flatten();
            var index = gradient.abs().argmax(0).ToInt64();
            var expected = Difference(scale.Value, index, 1.0 / 1024);
            gradient.narrow(0, index, 1).ToDouble().ShouldBe(expected, 2e-3 * Math.Abs(expected), scale.Name);
        }

        Tensor Loss()
        {
            using var context = pair.Student.Context(batch.Ids.size(0), batch.Ids.size(1));
            var (hidden, _) = new MixedStack(pair.Student, pair.Teacher, checkpointing: false).Run(batch, context, [true, true]);
            Tensor taught;
            using (torch.no_grad())
                taught = batch.Select(pair.Teacher.forward(batch.Ids));
            return ChunkedLoss.Sum(hidden, 5, (part, first, count) =>
                LogitLoss.Sum(loss, pair.Student.head(part), taught.narrow(0, first, count), batch.Labels.narrow(0, first, count)));
        }

        double Difference(Tensor values, long index, double step)
        {
            using var off = torch.no_grad();
            using var inner = torch.NewDisposeScope();
            var element = values.view(-1).narrow(0, index, 1);
            var before = element.clone();
            element.add_(step);
            var above = Loss().ToDouble();
            element.sub_(2 * step);
            var below = Loss().ToDouble();
            element.copy_(before);
            return (above - below) / (2 * step);
        }
    }

    [Theory]
    [InlineData(true, true), InlineData(false, true), InlineData(true, false)]
    public void Checkpointing_of_activations_changes_no_gradient(bool first, bool second)
    {
        using var pair = models.Load();
        using var scales = new TrainedScales(pair.Student);
        var expected = Gradients(checkpointing: false);
        var actual = Gradients(checkpointing: true);
        actual.Length.ShouldBe(expected.Length);
        for (var k = 0; k < expected.Length; k++)
            actual[k].ShouldBe(expected[k], scales.All[k].Name);
        expected[0].Any(value => value != 0).ShouldBe(first);
        expected[^1].Any(value => value != 0).ShouldBe(second);

        float[][] Gradients(bool checkpointing)
        {
            using var scope = torch.NewDisposeScope();
            var batch = new TokenBatch(TinyModels.Data(3), [2, 0]);
            using var context = pair.Student.Context(batch.Ids.size(0), batch.Ids.size(1));
            var stack = new MixedStack(pair.Student, pair.Teacher, checkpointing);
            var (hidden, feature) = stack.Run(batch, context, [first, second], stack.Features(batch, context));
            (hidden.square().sum() + feature!).backward();
            var gradients = scales.All.Select(scale => scale.Value.grad?.ToArray<float>() ?? []).ToArray();
            scales.DropGradients();
            return gradients;
        }
    }

    [Fact]
    public void Sequences_that_are_filled_up_count_as_they_do_alone()
    {
        using var pair = models.Load(ScalarType.Float64);
        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        var data = TinyModels.Data(4);
        var together = new TokenBatch(data, [3, 1, 0]);
        together.Lengths.Distinct().Count().ShouldBeGreaterThan(1);
        var hidden = together.Select(pair.Student.hidden(together.Ids));
        using var states = new TeacherStates(pair.Teacher, budget: 1 << 20);
        var taught = states.Of(together);
        states.Kept.ShouldBe(3);
        var position = 0;
        for (var row = 0; row < 3; row++)
        {
            var alone = new TokenBatch(data, [together.Indices[row]]);
            (alone.Select(pair.Student.hidden(alone.Ids)) - hidden.narrow(0, position, alone.Positions)).abs().max().ToDouble().ShouldBeLessThan(1e-12);
            (alone.Select(pair.Teacher.hidden(alone.Ids)) - taught.narrow(0, position, alone.Positions)).abs().max().ToDouble().ShouldBeLessThan(1e-12);
            alone.Labels.ToArray<long>().ShouldBe(together.Labels.narrow(0, position, alone.Positions).ToArray<long>());
            position += (int)alone.Positions;
        }
        (states.Of(together) - taught).abs().max().ToDouble().ShouldBe(0);
        using var nothing = new TeacherStates(pair.Teacher, budget: 0);
        (nothing.Of(together) - taught).abs().max().ToDouble().ShouldBe(0);
        nothing.Kept.ShouldBe(0);
    }

    [Fact]
    public void Passes_add_up_to_the_step_of_one_large_batch()
    {
        var whole = Train(Small with { Steps = 3, Batch = 4 });
        var parts = Train(Small with { Steps = 3, Batch = 2, Accumulate = 2 });
        foreach (var (a, b) in whole.Zip(parts))
            Math.Abs(a - b).ShouldBeLessThan(1e-5 * Math.Abs(a));

        List<double> Train(DistillationRecipe recipe)
        {
            using var pair = models.Load();
            using var trainer = new DistillationTrainer(pair.Student, pair.Teacher, TinyModels.Data(10), recipe, new DistillationOptions());
            var losses = new List<double>();
            trainer.Run(models.NewPath(), new Told(progress => losses.Add(progress.Loss)));
            return losses;
        }
    }

    [Fact]
    public void A_loss_that_is_no_number_goes_back_lowers_the_rate_once_and_then_gives_up()
    {
        using var pair = models.Load();
        var options = new DistillationOptions { CheckpointEvery = 5 };
        using var trainer = new DistillationTrainer(pair.Student, pair.Teacher, TinyModels.Data(10), Small with { Steps = 12 }, options);
        var steps = new List<int>();
        var poisoned = false;
        var checkpoint = models.NewPath();
        var result = trainer.Run(checkpoint, new Told(progress =>
        {
            steps.Add(progress.Step);
            if (progress.Step == 7 && !poisoned)
                Poison(pair);
            poisoned |= progress.Step == 7;
        }));
        steps.ShouldBe([1, 2, 3, 4, 5, 6, 7, 6, 7, 8, 9, 10, 11, 12]);
        result.LoweredAt.ShouldBe(7);
        result.Curve[^1].Rate.ShouldBe((Small with { Steps = 12 }).Resolve().RateAt(11) * 0.1, 1e-12);
        result.Curve.ShouldAllBe(point => double.IsFinite(point.HeldOut.Kl));

        using var again = models.Load();
        using var second = new DistillationTrainer(again.Student, again.Teacher, TinyModels.Data(10), Small with { Steps = 12 }, options);
        var message = Should.Throw<DistillationRefusedException>(() => second.Run(models.NewPath(), new Told(progress =>
        {
            if (progress.Step == 7)
                Poison(again);
        }))).Message;
        message.ShouldContain("step 8");
        message.ShouldContain("--lr");
    }

    [Fact]
    public void Activations_in_bf16_train_masters_in_fp32()
    {
        using var pair = models.Load(ScalarType.BFloat16);
        using var trainer = new DistillationTrainer(pair.Student, pair.Teacher, TinyModels.Data(10), Small with { Precision = Precision.Bf16, Steps = 12 }, new DistillationOptions());
        var result = trainer.Run(models.NewPath());
        result.Best.HeldOut.Kl.ShouldBeLessThan(result.Start.Kl);
        pair.Linear(0, LinearRole.Query).Alpha.dtype.ShouldBe(ScalarType.Float32);
    }

    private static void Poison(TinyModels.Pair pair)
    {
        using var off = torch.no_grad();
        pair.Linear(1, LinearRole.Down).Alpha.fill_(double.NaN);
    }

    private sealed class Told(Action<DistillProgress> action) : IProgress<DistillProgress>
    {
        public void Report(DistillProgress value) => action(value);
    }
}
