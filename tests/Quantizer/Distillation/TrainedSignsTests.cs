using System.Runtime.InteropServices;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Models.Generation;
using Qbb.Quantizer.Distillation;
using Qbb.Quantizer.Driver;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Distillation;

public sealed class TrainedSignsTests(TinyModels models, ITestOutputHelper output) : IClassFixture<TinyModels>
{
    private static readonly DistillationRecipe Small = new()
    {
        Steps = 30,
        Batch = 4,
        LearningRate = 0.01,
        SignRate = 0.03,
        EvaluateEvery = 10,
        HeldOut = 0.2,
    };

    [Fact]
    public void Latent_weights_start_within_the_level_that_the_signs_say()
    {
        using var pair = models.Load();
        using var scales = new TrainedScales(pair.Student);
        using var signs = new TrainedSigns(pair.Student, pair.Teacher);
        using var scope = torch.NewDisposeScope();
        signs.All.Count.ShouldBe(14);
        foreach (var sign in signs.All)
        {
            var before = sign.Layer.Planes.ToArray<int>();
            var distance = (sign.Latent - sign.Layer.ReferenceWeight()).abs().max().ToDouble();
            distance.ShouldBeGreaterThan(0, sign.Name);
            // A step of rate 0 with any gradient assigns the signs that are there.
            using (var gradient = Gradient(sign, seed: 1))
                sign.Step(0, gradient);
            sign.Layer.Planes.ToArray<int>().ShouldBe(before, sign.Name);
        }
    }

    [Fact]
    public void Signs_of_weights_with_a_power_of_two_start_like_others()
    {
        var random = new SplitMix64(5);
        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        Half[] scales = [.. Enumerable.Range(0, 2 * 6).Select(_ => (Half)(0.5 + random.NextUniform()))];
        var bases = new BinaryBases(2, 6, 32, 32, [.. Enumerable.Range(0, 12).Select(_ => (uint)random.Next())], scales, null);
        var target = torch.randn([6, 32]);
        using var plain = new BinaryLinear(bases, null, torch.CPU, ScalarType.Float32);
        using var tiny = new BinaryLinear(bases.WithExponent(-24), null, torch.CPU, ScalarType.Float32);
        using var one = new TrainedSign("one", plain, new DenseLinear(target, null, false));
        using var other = new TrainedSign("other", tiny, new DenseLinear(target * MathF.ScaleB(1, -24), null, false));
        other.Latent.flatten().ToArray<float>().ShouldBe(one.Latent.flatten().ToArray<float>());
    }

    [Theory]
    [InlineData(1, 16, 40, true), InlineData(2, 7, 33, false), InlineData(3, 64, 64, true), InlineData(4, 1000, 70, false)]
    public void A_step_moves_latent_weights_by_adam_and_takes_the_nearest_level(int bases, int group, int columns, bool bias)
    {
        const ulong seed = 11;
        output.WriteLine($"seed {seed}");
        var random = new SplitMix64(seed);
        var groups = (columns - 1) / group + 1;
        float[] Uniform(int count, double scale) => [.. Enumerable.Range(0, count).Select(_ => (float)(scale * (2 * random.NextUniform() - 1)))];
        float[] alpha = [.. Uniform(bases * groups, 1).Select(Math.Abs)], beta = bias ? Uniform(groups, 0.3) : [];
        float[] latent = Uniform(columns, 2), mean = Uniform(columns, 0.1), gradient = Uniform(columns, 1);
        float[] square = [.. Uniform(columns, 1).Select(Math.Abs)];
        var (v, m, s) = ((float[])latent.Clone(), (float[])mean.Clone(), (float[])square.Clone());
        var codes = new byte[columns];
        var adam = SignAdam.At(3, 0.05);
        ReferenceSignStep.Row(adam, v, m, s, gradient, alpha, beta, group, codes);
        for (var k = 0; k < columns; k++)
        {
            var place = k / group;
            double Level(int code) => (bias ? beta[place] : 0)
                + Enumerable.Range(0, bases).Sum(i => (code >> i & 1) == 1 ? (double)alpha[i * groups + place] : -alpha[i * groups + place]);
            var unit = Enumerable.Range(0, bases).Average(i => (double)alpha[i * groups + place]);
            var newMean = 0.9 * mean[k] + 0.1 * gradient[k];
            var newSquare = 0.99 * square[k] + 0.01 * gradient[k] * gradient[k];
            var moved = latent[k] - 0.05 * unit * (newMean / (1 - Math.Pow(0.9, 3))) / Math.Sqrt(newSquare / (1 - Math.Pow(0.99, 3)));
            var (least, most) = (Level(0), Level((1 << bases) - 1));
            ((double)v[k]).ShouldBe(Math.Clamp(moved, least, most), 1e-4);
            ((double)m[k]).ShouldBe(newMean, 1e-6);
            ((double)s[k]).ShouldBe(newSquare, 1e-6);
            var nearest = Enumerable.Range(0, 1 << bases).Min(code => Math.Abs(v[k] - Level(code)));
            Math.Abs(v[k] - Level(codes[k])).ShouldBe(nearest, 1e-5);
        }
    }

    [Fact]
    public void Training_signs_too_makes_the_loss_smaller()
    {
        // Signs that were drawn by lot leave much to mend; random tokens have nothing in common, so what counts is the loss on those trained on.
        var lot = models.NewPath();
        new ModelQuantizer(new Recipe { Bases = 2, Group = 16, Init = Init.Random, Refinement = Refinement.None }).Run(TinyModels.Teacher, lot);
        var (still, moved) = (Train(Small with { Steps = 60, SignRate = null }), Train(Small with { Steps = 60 }));
        output.WriteLine($"loss {still.Loss:g4} with scales alone, {moved.Loss:g4} with signs, allowed 0.9 of the former");
        still.Result.Planes.ShouldBeEmpty();
        moved.Result.Planes.Count.ShouldBe(14);
        moved.Loss.ShouldBeLessThan(0.9 * still.Loss);

        (double Loss, TrainingResult Result) Train(DistillationRecipe recipe)
        {
            using var source = ModelSource.Open(lot);
            using var student = Transformer.Load(source, torch.CPU, ScalarType.Float32, BasesLinearLoader.For(source));
            using var pair = models.Load();
            using var trainer = new DistillationTrainer(student, pair.Teacher, TinyModels.Data(10), recipe, new DistillationOptions());
            var result = trainer.Run(models.NewPath());
            return (result.Curve[^1].Loss!.Value, result);
        }
    }

    [Fact]
    public void A_killed_run_goes_on_and_ends_with_the_same_bytes_and_the_stored_model_scores_as_the_best_step()
    {
        var options = new DistillationOptions { CheckpointEvery = 10 };
        var (whole, broken) = (models.NewPath(), models.NewPath());
        var result = new Distiller(Small, options).Run(models.Student, TinyModels.Teacher, TinyModels.Data(10), whole);
        Should.Throw<InvalidOperationException>(() => new Distiller(Small, options).Run(
            models.Student, TinyModels.Teacher, TinyModels.Data(10), broken, new Killer(13)));
        new Distiller(Small, options).Run(models.Student, TinyModels.Teacher, TinyModels.Data(10), broken).ResumedFrom.ShouldBe(10);
        File.ReadAllBytes(Path.Combine(broken, "model.safetensors")).ShouldBe(File.ReadAllBytes(Path.Combine(whole, "model.safetensors")));

        using var student = ModelSource.Open(whole);
        using var before = ModelSource.Open(models.Student);
        Planes(student).SequenceEqual(Planes(before)).ShouldBeFalse();
        Recipe.FromJson(File.ReadAllText(Path.Combine(whole, "recipe.json"))).Distillation.ShouldBe(Small.Resolve());
        using var trained = Transformer.Load(student, torch.CPU, ScalarType.Float32, BasesLinearLoader.For(student));
        using var teacherSource = ModelSource.Open(TinyModels.Teacher);
        using var teacher = Transformer.Load(teacherSource, torch.CPU, ScalarType.Float32);
        using var states = new TeacherStates(teacher, 0);
        var data = TinyModels.Data(10);
        var heldOut = new DataOrder(data.Count, Small.HeldOut, Small.Seed).HeldOut;
        var score = new HeldOutScorer(trained, teacher, states, data, heldOut, 4).Run(CancellationToken.None);
        score.Kl.ShouldBe(result.End.Kl, 1e-4 * result.End.Kl);
    }

    private static byte[] Planes(ModelSource source)
    {
        const string name = "model.layers.0.mlp.down_proj.planes";
        var bytes = new byte[source.Tensors.Describe(name).Bytes];
        source.Tensors.ReadBytes(name, 0, bytes);
        return bytes;
    }

    /// <summary>The gradient of the dense weight that backward leaves.</summary>
    private static Tensor Gradient(TrainedSign sign, ulong seed)
    {
        var random = new SplitMix64(seed);
        var x = torch.tensor([.. Enumerable.Range(0, 3 * sign.Layer.InFeatures).Select(_ => (float)random.NextUniform())], 3, sign.Layer.InFeatures);
        sign.Layer.forward(x).square().sum().backward();
        return sign.Layer.TakeDenseGradient().ShouldNotBeNull();
    }

    private sealed class Killer(int step) : IProgress<DistillProgress>
    {
        public void Report(DistillProgress value)
        {
            if (value.Step == step)
                throw new InvalidOperationException("killed");
        }
    }
}
