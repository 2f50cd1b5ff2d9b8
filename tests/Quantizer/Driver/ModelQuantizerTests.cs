using System.Text.Json.Nodes;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Recipes;
using Qbb.Tests;

namespace Qbb.Quantizer.Tests.Driver;

public sealed class ModelQuantizerTests : IDisposable
{
    private static readonly Recipe Small = new() { Bases = 3, Group = 16 };
    private readonly string _folder = Directory.CreateTempSubdirectory("qbb-quantizer-").FullName;

    private string Output => Path.Combine(_folder, "out");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    public static TheoryData<string> Architectures =>
        new("gemma", "gpt-neox", "gpt2", "llama-gqa-tied", "llama-mha", "mistral", "opt", "phi", "phi3", "qwen2", "qwen3");

    [Theory]
    [MemberData(nameof(Architectures))]
    public void Every_architecture_is_written_and_runs(string name)
    {
        var model = Reference.Path("architectures", name);
        var result = new ModelQuantizer(Small).Run(model, Output);

        using var before = ModelSource.Open(model);
        using var after = ModelSource.Open(Output);
        var specs = DecoderLayout.Resolve(DecoderConfig.FromJson(before.ConfigJson), before.Tensors).Linears.ToList();
        result.Layers.Select(layer => layer.Layer).ShouldBe(specs.Select(spec => spec.Weight));
        foreach (var (spec, report) in specs.Zip(result.Layers))
        {
            var expected = new float[spec.WeightCount];
            WeightLoader.ReadWeight(before.Tensors, spec, expected);
            var layer = new LayerWeights(spec.Weight, spec.OutFeatures, spec.InFeatures, expected);
            var bases = BasesTensors.Read(after.Tensors, spec.Module, spec.OutFeatures, spec.InFeatures, 16);
            Synthetic.RelativeError(layer, new LayerResult(bases, report)).ShouldBe(report.RelativeError, 1e-5);
            report.RelativeError.ShouldBeLessThan(0.05);
            after.Tensors.Contains(spec.Weight).ShouldBeFalse();
        }
        var quantized = specs.Select(spec => spec.Weight).ToHashSet();
        foreach (var report in result.Embeddings)
            after.Tensors.Describe(report.Weight).Type.ShouldBe("Q8");
        quantized.UnionWith(result.Embeddings.Select(report => report.Weight));
        foreach (var entry in before.Tensors.Entries.Where(entry => !quantized.Contains(entry.Name)))
        {
            after.Tensors.Describe(entry.Name).ShouldBeEquivalentTo(entry);
            Bytes(after.Tensors, entry).ShouldBe(Bytes(before.Tensors, entry));
        }
        Logits(after).ShouldAllBe(value => float.IsFinite(value));
        Directory.GetFileSystemEntries(_folder).ShouldBe([Output]);
    }

    [Fact]
    public void Logits_come_back_with_enough_bases()
    {
        var model = Reference.Path("architectures", "llama-mha");
        new ModelQuantizer(new Recipe { Bases = 8, Group = 16 }).Run(model, Output);
        using var before = ModelSource.Open(model);
        using var after = ModelSource.Open(Output);
        var difference = Logits(before).Zip(Logits(after), (a, b) => Math.Abs(a - b)).Max();
        TestContext.Current.TestOutputHelper!.WriteLine($"largest difference of a logit {difference:g3}");
        difference.ShouldBeLessThan(0.05f);
    }

    [Fact]
    public void The_folder_holds_what_a_reader_needs()
    {
        var model = Reference.Path("architectures", "qwen2");
        new ModelQuantizer(Small).Run(model, Output);
        Directory.GetFiles(Output).Select(Path.GetFileName).Order(StringComparer.Ordinal).ShouldBe(
            [WrittenFiles.RecordName, "README.md", "config.json", "generation_config.json", "metrics.json", "model.safetensors", "recipe.json"]);
        var config = JsonNode.Parse(File.ReadAllText(Path.Combine(Output, "config.json")))!;
        config["model_type"]!.GetValue<string>().ShouldBe("qwen2");
        config["quantization_config"]!["quant_method"]!.GetValue<string>().ShouldBe("qbb");
        config["quantization_config"]!["version"]!.GetValue<int>().ShouldBe(2);
        config["quantization_config"]!["bases"]!.GetValue<int>().ShouldBe(3);
        config["quantization_config"]!["group_size"]!.GetValue<int>().ShouldBe(16);
        config["quantization_config"]!["bias"]!.GetValue<bool>().ShouldBeTrue();
        Recipe.FromJson(File.ReadAllText(Path.Combine(Output, "recipe.json"))).ShouldBe(Small.Resolve());
        var metrics = JsonNode.Parse(File.ReadAllText(Path.Combine(Output, "metrics.json")))!;
        metrics["recipeDigest"]!.GetValue<string>().ShouldBe(Small.Digest);
        metrics["layers"]!.AsArray().Count.ShouldBeGreaterThan(7);
        metrics["layers"]![0]!["errorPerBase"]!.AsArray().Count.ShouldBe(3);
        var card = File.ReadAllText(Path.Combine(Output, "README.md"));
        card.ShouldStartWith("---\nbase_model: ");
        card.ShouldContain("base_model_relation: quantized");
        card.ShouldContain(Small.Digest);
    }

    [Fact]
    public void Row_scales_are_written_without_a_group_size_and_load()
    {
        new ModelQuantizer(Small with { Group = null }).Run(Reference.Path("architectures", "llama-gqa-tied"), Output);
        using var after = ModelSource.Open(Output);
        after.ConfigJson["quantization_config"]!["group_size"].ShouldBeNull();
        Logits(after).ShouldAllBe(value => float.IsFinite(value));
    }

    [Theory]
    [InlineData("narrow-F32")]
    [InlineData("narrow-Q4_1")]
    [InlineData("wide-Q4_K_M")]
    public void A_gguf_file_becomes_a_folder_with_a_tokenizer(string name)
    {
        new ModelQuantizer(Small).Run(Reference.Path("gguf", name + ".gguf"), Output);
        using var after = ModelSource.Open(Output);
        after.LoadTokenizer().VocabularySize.ShouldBeGreaterThan(0);
        string[] plain = ["F32", "F16", "BF16", "I32", "I8"];
        after.StoredTensors.Entries.ShouldAllBe(entry => plain.Contains(entry.Type));
        Logits(after).ShouldAllBe(value => float.IsFinite(value));
    }

    [Fact]
    public void The_same_recipe_gives_the_same_bytes_on_one_thread_and_on_several()
    {
        var model = Reference.Path("architectures", "llama-mha");
        var (one, two) = (Path.Combine(_folder, "one"), Path.Combine(_folder, "two"));
        new ModelQuantizer(Small, new BasesMethod(Small, 1)).Run(model, one);
        new ModelQuantizer(Small, new BasesMethod(Small, 3)).Run(model, two);
        foreach (var name in new[] { "model.safetensors", "config.json", "recipe.json", "metrics.json", "README.md" })
            File.ReadAllBytes(Path.Combine(one, name)).ShouldBe(File.ReadAllBytes(Path.Combine(two, name)), name);
    }

    [Fact]
    public void A_second_run_continues_an_interrupted_one()
    {
        var model = Reference.Path("architectures", "llama-mha");
        var whole = Path.Combine(_folder, "whole");
        new ModelQuantizer(Small).Run(model, whole);

        var total = Interrupt(model, Small, after: 5);
        var work = ModelQuantizer.WorkFolderOf(Output);
        Directory.GetFileSystemEntries(_folder).Order().ShouldBe(new[] { work, whole }.Order());
        // What kill -9 leaves: half a layer, half an output. And a layer that the disk has damaged.
        var layers = Directory.GetFiles(work, "0*.safetensors", SearchOption.AllDirectories).Order().ToArray();
        layers.Length.ShouldBe(5);
        File.WriteAllBytes(layers[0] + ".partial", [1, 2, 3]);
        File.WriteAllBytes(layers[2], File.ReadAllBytes(layers[2])[..100]);
        Directory.CreateDirectory(Path.Combine(work, "assembly"));
        File.WriteAllText(Path.Combine(work, "assembly", "config.json"), "{");

        var resumed = new List<bool>();
        var result = new ModelQuantizer(Small).Run(model, Output, progress: new Told(progress => resumed.Add(progress.Resumed)));
        result.ResumedLayers.ShouldBe(4);
        resumed.Count.ShouldBe(total);
        resumed.Take(6).ShouldBe([true, true, false, true, true, false]);
        File.ReadAllBytes(Path.Combine(Output, "model.safetensors")).ShouldBe(File.ReadAllBytes(Path.Combine(whole, "model.safetensors")));
        Directory.Exists(work).ShouldBeFalse();
    }

    [Fact]
    public void Another_recipe_or_model_reuses_nothing()
    {
        var model = Reference.Path("architectures", "llama-mha");
        Interrupt(model, Small, after: 4);
        new ModelQuantizer(Small with { Seed = 1 }).Run(model, Output).ResumedLayers.ShouldBe(0);
        Directory.Delete(Output, recursive: true);
        Interrupt(model, Small, after: 4);
        new ModelQuantizer(Small).Run(Reference.Path("architectures", "mistral"), Output).ResumedLayers.ShouldBe(0);
    }

    [Fact]
    public void Progress_names_layers_and_estimates_the_time_left()
    {
        var seen = new List<QuantizeProgress>();
        new ModelQuantizer(Small).Run(Reference.Path("architectures", "llama-mha"), Output, progress: new Told(seen.Add));
        seen.Select(progress => progress.Done).ShouldBe(Enumerable.Range(1, seen.Count));
        seen.ShouldAllBe(progress => progress.Total == seen.Count && progress.RelativeError > 0 && !progress.Resumed);
        seen[0].Layer.ShouldBe("model.layers.0.self_attn.q_proj");
        seen[^1].Remaining.ShouldBe(TimeSpan.Zero);
    }

    [Fact]
    public void An_output_that_exists_is_kept_unless_forced()
    {
        var model = Reference.Path("architectures", "llama-mha");
        Directory.CreateDirectory(Output);
        File.WriteAllText(Path.Combine(Output, "precious.txt"), "mine");
        Should.Throw<InvalidInputException>(() => new ModelQuantizer(Small).Run(model, Output)).Message.ShouldContain("--force");
        File.Exists(Path.Combine(Output, "precious.txt")).ShouldBeTrue();
        Should.Throw<InvalidInputException>(() => new ModelQuantizer(Small).Run(model, Output, force: true)).Message.ShouldContain("contains precious.txt");
        File.Delete(Path.Combine(Output, "precious.txt"));
        new ModelQuantizer(Small).Run(model, Output);
        new ModelQuantizer(Small).Run(model, Output, force: true);
        Directory.GetFileSystemEntries(_folder).ShouldBe([Output]);

        Should.Throw<InvalidInputException>(() => new ModelQuantizer(Small).Run(Output, Output, force: true))
            .Message.ShouldContain("would replace its source");
        Should.Throw<InvalidInputException>(() => new ModelQuantizer(Small).Run(Output, Path.Combine(_folder, "again")))
            .Message.ShouldContain("quantized already");
        var file = Path.Combine(_folder, "file");
        File.WriteAllText(file, "");
        Should.Throw<InvalidInputException>(() => new ModelQuantizer(Small).Run(model, file, force: true)).Message.ShouldContain("file");
        Should.Throw<InvalidInputException>(() => new ModelQuantizer(Small).Run(model, "/proc/no/such/place"))
            .Message.ShouldContain("/proc/no");
    }

    [Fact]
    public void Two_processes_cannot_write_one_output()
    {
        using var held = WorkFolder.Open(Output, "another");
        Should.Throw<InvalidInputException>(() => new ModelQuantizer(Small).Run(Reference.Path("architectures", "llama-mha"), Output))
            .Message.ShouldContain("another process");
        held.Discard();
    }

    [Theory]
    [InlineData("model.layers.1.mlp.up_proj.weight")]
    [InlineData("model.embed_tokens.weight")]
    public void Weights_that_are_not_finite_are_named_and_nothing_stays(string damaged)
    {
        var model = Path.Combine(_folder, "damaged");
        var original = Reference.Path("architectures", "llama-mha");
        Directory.CreateDirectory(model);
        File.Copy(Path.Combine(original, "config.json"), Path.Combine(model, "config.json"));
        using (var source = SafetensorsFile.Open(Path.Combine(original, "model.safetensors")))
        using (var writer = SafetensorsWriter.Create(
            Path.Combine(model, "model.safetensors"),
            source.Entries.Select(entry => new TensorDeclaration(entry.Name, "F32", entry.Shape))))
        {
            foreach (var entry in source.Entries)
            {
                var values = new float[entry.Count];
                source.ReadFloat(entry.Name, 0, values);
                if (entry.Name == damaged)
                    values[values.Length / 2] = float.NaN;
                writer.Write(entry.Name, values);
            }
            writer.Commit();
        }
        Should.Throw<InvalidInputException>(() => new ModelQuantizer(Small).Run(model, Output)).Message.ShouldContain(damaged);
        Directory.GetFileSystemEntries(_folder).ShouldBe([model]);
    }

    private int Interrupt(string model, Recipe recipe, int after)
    {
        using var cancellation = new CancellationTokenSource();
        var total = 0;
        Should.Throw<OperationCanceledException>(() => new ModelQuantizer(recipe).Run(model, Output, progress: new Told(progress =>
        {
            total = progress.Total;
            if (progress.Done == after)
                cancellation.Cancel();
        }), cancellation: cancellation.Token));
        Directory.Exists(Output).ShouldBeFalse();
        return total;
    }

    private static byte[] Bytes(ITensorSource source, TensorEntry entry)
    {
        var bytes = new byte[entry.Bytes];
        source.ReadBytes(entry.Name, 0, bytes);
        return bytes;
    }

    private static float[] Logits(ModelSource source)
    {
        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32, BasesLinearLoader.For(source));
        return model.forward(torch.tensor(new long[] { 1, 5, 2, 7 }, [1, 4])).ToArray<float>();
    }

    private sealed class Told(Action<QuantizeProgress> action) : IProgress<QuantizeProgress>
    {
        public void Report(QuantizeProgress value) => action(value);
    }
}
