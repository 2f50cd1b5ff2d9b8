using System.Text.Json.Nodes;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Distillation;
using Qbb.Quantizer.Driver;
using Qbb.Recipes;
using Qbb.Tests;

namespace Qbb.Quantizer.Tests.Distillation;

public sealed class DistillerTests(TinyModels models) : IClassFixture<TinyModels>
{
    private static readonly DistillationRecipe Small = new() { Steps = 20, Batch = 4, LearningRate = 0.01, EvaluateEvery = 5, HeldOut = 0.2 };
    private static readonly DistillationOptions Often = new() { CheckpointEvery = 10 };

    [Fact]
    public void The_folder_holds_the_signs_of_before_and_better_scales()
    {
        var output = models.NewPath();
        var result = new Distiller(Small, Often).Run(models.Student, TinyModels.Teacher, TinyModels.Data(10), output);
        result.End.Kl.ShouldBeLessThan(result.Start.Kl);
        result.TeacherIsOrigin.ShouldBe(true);
        Directory.GetFileSystemEntries(Path.GetDirectoryName(output)!).ShouldBe([output]);
        Directory.GetFiles(output).Select(Path.GetFileName).Order().ShouldBe(Directory.GetFiles(models.Student).Select(Path.GetFileName).Order());

        using (var before = ModelSource.Open(models.Student))
        using (var after = ModelSource.Open(output))
        {
            after.StoredTensors.Entries.Select(entry => (entry.Name, entry.Type)).ShouldBe(before.StoredTensors.Entries.Select(entry => (entry.Name, entry.Type)));
            before.Tensors.Entries.ShouldContain(entry => entry.Type == "Q8", "the embedding is quantized before and after");
            result.Size.ShouldBe(ModelSize.Of(after));
            foreach (var entry in before.StoredTensors.Entries)
            {
                var scales = entry.Name.EndsWith(".alpha") || entry.Name.EndsWith(".beta");
                Bytes(after, entry.Name).SequenceEqual(Bytes(before, entry.Name)).ShouldBe(!scales, entry.Name);
            }
        }
        var recipe = Recipe.FromJson(File.ReadAllText(Path.Combine(output, "recipe.json")));
        recipe.Distillation.ShouldBe(Small.Resolve());
        recipe.Bases.ShouldBe(2);
        Json(output, "config.json")["quantization_config"]!["recipe_digest"]!.GetValue<string>().ShouldBe(recipe.Digest);
        var metrics = Json(output, "metrics.json");
        metrics["recipeDigest"]!.GetValue<string>().ShouldBe(recipe.Digest);
        metrics["distillation"]!["end"]!["kl"]!.GetValue<double>().ShouldBe(result.End.Kl);
        metrics["distillation"]!["curve"]!.AsArray().Count.ShouldBe(5);
        metrics["distillation"]!["heldOutSequences"]!.GetValue<int>().ShouldBe(2);
        metrics["layers"]!.AsArray().Count.ShouldBe(14);
        var card = File.ReadAllText(Path.Combine(output, "README.md"));
        card.ShouldContain("## Distillation");
        card.ShouldContain(recipe.Digest);
        Should.Throw<InvalidInputException>(() => new Distiller(Small, Often).Run(output, TinyModels.Teacher, TinyModels.Data(10), models.NewPath())).Message.ShouldContain("distilled already");
    }

    [Theory]
    [InlineData("gguf-q4_1", 0, null), InlineData("gguf-q4_0", 0, null), InlineData("gguf-q4_1", 0.001, null), InlineData("gptq", 0, "compressed-tensors"), InlineData("hqq", 0.001, "hqq")]
    public void On_the_grid_of_a_target_steps_and_free_minima_are_trained_and_the_format_holds_the_result(string name, double signRate, string? export)
    {
        var (student, output, target) = (models.NewPath(), models.NewPath(), Target.Parse(name));
        var recipe = new Recipe { Exports = export is null ? null : new([export]) }.For(target) with { Group = 32, Bases = export is null ? target.Bases : 2 };
        new ModelQuantizer(recipe).Run(TinyModels.Teacher, student);
        var result = new Distiller(Small with { LearningRate = 0.001, Steps = 40, SignRate = signRate > 0 ? signRate : null }, Often).Run(student, TinyModels.Teacher, TinyModels.Data(100), output);
        result.End.Kl.ShouldBeLessThan(result.Start.Kl);
        using (var before = ModelSource.Open(student))
        using (var after = ModelSource.Open(output))
        {
            foreach (var entry in before.StoredTensors.Entries)
            {
                if (signRate > 0 && entry.Name.EndsWith(".planes"))
                    continue;
                var isTrained = entry.Name.EndsWith(".step") || entry.Name.EndsWith(".minimum");
                Bytes(after, entry.Name).SequenceEqual(Bytes(before, entry.Name)).ShouldBe(!isTrained, entry.Name);
            }
        }
        // The exporter compares every weight that it packed, bit for bit, and refuses what does not fit.
        if (export is null)
        {
            using var source = ModelSource.Open(output);
            BasesTensors.Read(source.Tensors, "model.layers.1.mlp.down_proj", 64, 160, 32).ShouldSatisfyAllConditions(bases => GgufLevels.Fits(bases, target).ShouldBeTrue());
            return;
        }
        var (first, second) = (Path.Combine(student, RecipeExports.PathOf(export), "model.safetensors"), Path.Combine(output, RecipeExports.PathOf(export), "model.safetensors"));
        File.ReadAllBytes(second).Length.ShouldBe(File.ReadAllBytes(first).Length);
        File.ReadAllBytes(second).ShouldNotBe(File.ReadAllBytes(first));
    }

    [Theory]
    [InlineData(DistillationLoss.Kd), InlineData(DistillationLoss.KdMseSwap)]
    public void A_killed_run_goes_on_and_ends_with_the_same_bytes(DistillationLoss loss)
    {
        var recipe = Small with { Loss = loss };
        var (whole, broken) = (models.NewPath(), models.NewPath());
        var expected = new Distiller(recipe, Often).Run(models.Student, TinyModels.Teacher, TinyModels.Data(10), whole);

        // As kill -9 leaves it: nothing is saved on the way out, and a checkpoint is half written.
        Should.Throw<Killed>(() => new Distiller(recipe, Often).Run(models.Student, TinyModels.Teacher, TinyModels.Data(10), broken, new Told(progress =>
        {
            if (progress.Step == 13)
                throw new Killed();
        })));
        Directory.Exists(broken).ShouldBeFalse();
        var file = Directory.GetFiles(ModelQuantizer.WorkFolderOf(broken), "checkpoint.safetensors", SearchOption.AllDirectories).Single();
        File.WriteAllBytes(file + ".partial", [1, 2, 3]);
        var steps = new List<int>();
        var result = new Distiller(recipe, Often).Run(models.Student, TinyModels.Teacher, TinyModels.Data(10), broken, new Told(progress => steps.Add(progress.Step)));
        steps.ShouldBe(Enumerable.Range(11, 10));
        result.ResumedFrom.ShouldBe(10);
        result.Curve.ShouldBe(expected.Curve);
        foreach (var name in new[] { "model.safetensors", "config.json", "recipe.json", "metrics.json", "README.md" })
            File.ReadAllBytes(Path.Combine(broken, name)).ShouldBe(File.ReadAllBytes(Path.Combine(whole, name)), name);
        Directory.Exists(ModelQuantizer.WorkFolderOf(broken)).ShouldBeFalse();
    }

    [Fact]
    public void A_cancelled_run_loses_no_step_and_other_choices_start_anew()
    {
        var output = models.NewPath();
        using var cancellation = new CancellationTokenSource();
        Should.Throw<OperationCanceledException>(() => new Distiller(Small, Often).Run(models.Student, TinyModels.Teacher, TinyModels.Data(10), output, new Told(progress =>
        {
            if (progress.Step == 7)
                cancellation.Cancel();
        }), cancellation.Token));
        new Distiller(Small with { Seed = 1 }, Often).Run(models.Student, TinyModels.Teacher, TinyModels.Data(10), models.NewPath()).ResumedFrom.ShouldBe(0);
        new Distiller(Small, Often).Run(models.Student, TinyModels.Teacher, TinyModels.Data(10), output).ResumedFrom.ShouldBe(7);
    }

    [Fact]
    public void A_result_that_is_worse_than_its_start_is_refused_with_the_figures()
    {
        var output = models.NewPath();
        var message = Should.Throw<DistillationRefusedException>(() =>
            new Distiller(Small with { LearningRate = 3, Warmup = 0 }, Often).Run(models.Student, TinyModels.Teacher, TinyModels.Data(10), output)).Message;
        message.ShouldContain("no better than before");
        message.ShouldContain("KL to the teacher");
        Directory.GetFileSystemEntries(Path.GetDirectoryName(output)!).ShouldBeEmpty();
    }

    [Fact]
    public void What_does_not_go_together_is_refused()
    {
        Refused(TinyModels.Teacher, TinyModels.Teacher, TinyModels.Data(10)).ShouldContain("not quantized by qbb");
        Refused(models.Student, Reference.Path("architectures", "qwen2"), TinyModels.Data(10)).ShouldContain("model type llama and qwen2");
        Refused(models.Student, TinyModels.Teacher, TinyModels.Data(1)).ShouldContain("1 sequences");
        Refused(models.Student, TinyModels.Teacher, new TokenSequences([])).ShouldContain("0 sequences");
        Refused(models.Student, TinyModels.Teacher, new TokenSequences([[1, 2], [3, 256]])).ShouldContain("token 256");
        Refused(models.Student, TinyModels.Teacher, new Foreign()).ShouldContain("sampled from another model");
        Should.Throw<InvalidInputException>(() => new Distiller(Small, Often with { Force = true }).Run(models.Student, TinyModels.Teacher, TinyModels.Data(10), models.Student)).Message
            .ShouldContain("would replace its source");
        Should.Throw<InvalidInputException>(() => new Distiller(Small, Often with { CheckpointEvery = 0 })
            .Run(models.Student, TinyModels.Teacher, TinyModels.Data(10), models.NewPath())).Message.ShouldContain("--checkpoint-every");
        Should.Throw<InvalidInputException>(() => new TokenSequences([[1]])).Message.ShouldContain("2 tokens");
        Should.Throw<InvalidInputException>(() => TokenSequences.Cut([1, 2, 3], 2)).Message.ShouldContain("--length");

        string Refused(string student, string teacher, ITokenSequences data)
        {
            var output = models.NewPath();
            var message = Should.Throw<InvalidInputException>(() => new Distiller(Small, Often).Run(student, teacher, data, output)).Message;
            Directory.GetFileSystemEntries(Path.GetDirectoryName(output)!).ShouldBeEmpty();
            return message;
        }
    }

    private static byte[] Bytes(ModelSource source, string name)
    {
        var bytes = new byte[source.StoredTensors.Describe(name).Bytes];
        source.StoredTensors.ReadBytes(name, 0, bytes);
        return bytes;
    }

    private static JsonNode Json(string folder, string name) => JsonNode.Parse(File.ReadAllText(Path.Combine(folder, name)))!;

    private sealed class Killed : Exception;

    private sealed class Foreign : ITokenSequences
    {
        public int Count => 4;

        public string Digest => "data";

        public string? TeacherDigest => "another";

        public int LengthOf(int index) => 2;

        public void Read(int index, Span<int> ids) => ids.Clear();
    }

    private sealed class Told(Action<DistillProgress> action) : IProgress<DistillProgress>
    {
        public void Report(DistillProgress value) => action(value);
    }
}
