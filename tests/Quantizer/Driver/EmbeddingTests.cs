using System.Text.Json.Nodes;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Driver;
using Qbb.Recipes;
using Qbb.Tests;

namespace Qbb.Quantizer.Tests.Driver;

/// <summary>Embedding and head in every stored form, and the sizes that are told of them.</summary>
public sealed class EmbeddingTests(ITestOutputHelper output) : IDisposable
{
    private static readonly Recipe s_small = new() { Bases = 2, Group = 16, Rounds = 1 };
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("llama-gqa-tied", EmbeddingForm.Bits8), InlineData("llama-mha", EmbeddingForm.Bits8)]
    [InlineData("llama-gqa-tied", EmbeddingForm.Bits6), InlineData("llama-mha", EmbeddingForm.Bits6)]
    [InlineData("llama-gqa-tied", EmbeddingForm.Bits4), InlineData("llama-mha", EmbeddingForm.Bits4), InlineData("gpt2", EmbeddingForm.Bits4)]
    [InlineData("llama-gqa-tied", EmbeddingForm.Bases), InlineData("llama-mha", EmbeddingForm.Bases)]
    [InlineData("llama-gqa-tied", EmbeddingForm.Bits16), InlineData("llama-mha", EmbeddingForm.Bits16)]
    public void Embedding_and_head_have_the_form_and_the_size_of_the_recipe(string name, EmbeddingForm form)
    {
        var recipe = s_small with { Embedding = form };
        var model = Reference.Path("architectures", name);
        var result = new ModelQuantizer(recipe).Run(model, _folder.File("out"));
        using var before = ModelSource.Open(model);
        using var after = ModelSource.Open(_folder.File("out"));
        var config = DecoderConfig.FromJson(before.ConfigJson);
        var layout = DecoderLayout.Resolve(config, before.Tensors);
        long rows = config.VocabularySize, columns = config.EmbeddingSize;
        foreach (var weight in layout.Embeddings)
        {
            var (stored, read) = (Read(before.Tensors, weight), Read(after.Tensors, weight));
            var error = stored.Zip(read, (a, b) => Math.Pow(a - b, 2)).Sum() / stored.Sum(value => Math.Pow(value, 2));
            output.WriteLine($"{weight}: relative error {error:g3}");
            error.ShouldBeLessThan(form switch { EmbeddingForm.Bits16 => 1e-12, EmbeddingForm.Bits8 => 2e-4, EmbeddingForm.Bits6 => 2e-3, EmbeddingForm.Bits4 => 2e-2, _ => 0.12 });
            if (form != EmbeddingForm.Bits16)
            {
                result.Embeddings.Single(report => report.Weight == weight).RelativeError.ShouldBe(error, 1e-3 * error);
                after.StoredTensors.Contains(weight).ShouldBeFalse();
                after.Tensors.Describe(weight).Bytes.ShouldBe(StoredBytes.Embedding(rows, columns, recipe));
            }
        }
        after.StoredTensors.Entries.Count(entry => entry.Name.EndsWith("_scale", StringComparison.Ordinal))
            .ShouldBe(form is EmbeddingForm.Bits16 or EmbeddingForm.Bases ? 0 : layout.Embeddings.Count());
        Logits(after).ShouldAllBe(value => float.IsFinite(value));
    }

    /// <summary>Rows of an embedding are looked up: it has no inputs that GPTQ could go by.</summary>
    [Theory]
    [InlineData(Refinement.None), InlineData(Refinement.Alternating)]
    public void With_GPTQ_an_embedding_of_bases_is_rounded_to_nearest(Refinement refinement)
    {
        var recipe = new Recipe { Bases = 3, Group = 32, Embedding = EmbeddingForm.Bases, Init = Init.Gptq, Refinement = refinement, Importance = Importance.Full };
        var model = Reference.Path("architectures", "llama-mha");
        var tokens = TokenSequences.Cut([.. Enumerable.Range(0, 200).Select(k => k * 37 % 256)], 50);
        new ModelQuantizer(recipe, calibration: new CalibrationStream(tokens)).Run(model, _folder.File("gptq"));
        new ModelQuantizer(new Recipe { Bases = 3, Group = 32, Embedding = EmbeddingForm.Bases, Init = Init.Rtn, Refinement = Refinement.None }).Run(model, _folder.File("rtn"));
        using var gptq = ModelSource.Open(_folder.File("gptq"));
        using var rounded = ModelSource.Open(_folder.File("rtn"));
        foreach (var name in new[] { "model.embed_tokens.weight", "lm_head.weight" })
            Read(gptq.Tensors, name).ShouldBe(Read(rounded.Tensors, name), name);
        const string planes = "model.layers.0.self_attn.q_proj.planes";
        gptq.Tensors.Describe(planes).Bytes.ShouldBe(rounded.Tensors.Describe(planes).Bytes);
    }

    [Fact]
    public void The_size_is_that_of_the_files_and_of_the_formula()
    {
        var model = Reference.Path("gguf", "narrow-Q8_0.gguf");
        var result = new ModelQuantizer(s_small).Run(model, _folder.File("out"));
        string[] others = ["README.md", "recipe.json", "metrics.json", WrittenFiles.RecordName];
        var files = Directory.GetFiles(result.Folder).Where(file => !others.Contains(Path.GetFileName(file))).Sum(file => new FileInfo(file).Length);
        result.Size.Bytes.ShouldBe(files);
        using var after = ModelSource.Open(result.Folder);
        ModelSize.Of(after).ShouldBe(result.Size);
        using var before = ModelSource.Open(model);
        result.Source.ShouldBe(new ModelSize(new FileInfo(model).Length, result.Size.Parameters));
        var layout = DecoderLayout.Resolve(DecoderConfig.FromJson(before.ConfigJson), before.Tensors);
        result.Size.Parameters.ShouldBe(before.Tensors.Entries.Sum(entry => entry.Count));
        var metrics = JsonNode.Parse(File.ReadAllText(Path.Combine(result.Folder, "metrics.json")))!;
        metrics["bytes"]!.GetValue<long>().ShouldBe(files);
        metrics["bitsPerParameter"]!.GetValue<double>().ShouldBe(8.0 * files / result.Size.Parameters, 1e-9);
        var norms = layout.Blocks.SelectMany(block => block.Norms).Append(layout.FinalNorm).Sum(norm => 4L * norm!.Size);
        var weights = layout.Linears.Sum(layer => StoredBytes.Bases(layer.OutFeatures, layer.InFeatures, s_small.Bases, s_small.Group, s_small.Bias))
            + layout.Embeddings.Sum(_ => StoredBytes.Embedding(before.Tensors.Describe(layout.Embedding).Shape[0], before.Tensors.Describe(layout.Embedding).Shape[1], s_small));
        after.StoredTensors.Entries.Sum(entry => entry.Bytes).ShouldBe(weights + norms);
    }

    [Fact]
    public void An_embedding_of_8_bits_by_32_comes_back_exactly()
    {
        var model = Reference.Path("gguf", "narrow-Q8_0.gguf");
        var result = new ModelQuantizer(s_small with { Group = 32 }).Run(model, _folder.File("out"));
        result.Embeddings.ShouldNotBeEmpty();
        result.Embeddings.ShouldAllBe(report => report.SquaredError == 0 && report.SquaredNorm > 0);
    }

    [Theory]
    [InlineData(1e-30f), InlineData(1e-9f), InlineData(1f), InlineData(1e9f), InlineData(1e30f)]
    public void Tiny_and_huge_embeddings_keep_their_relative_error(float factor)
    {
        var random = new Random(7);
        var values = Enumerable.Range(0, 20 * 33).Select(k => (float)(random.NextDouble() - 0.5) * factor * (k < 33 ? 1e-5f : 1)).ToArray();
        var path = _folder.File("source.safetensors");
        using (var writer = SafetensorsWriter.Create(path, [new("e.weight", "F32", [20, 33])]))
        {
            writer.Write("e.weight", values);
            writer.Commit();
        }
        using var source = SafetensorsFile.Open(path);
        var file = EmbeddingFile.Write(_folder.File("e.safetensors"), source, "e.weight", new IntegerForm(8, 16, 33), default);
        var whole = File.ReadAllBytes(file.Path);
        using var read = file.Open();
        var found = Read(read, "e.weight");
        // The first row, a hundred thousand times smaller, as well as the others.
        foreach (var rows in new[] { Enumerable.Range(0, 33), Enumerable.Range(33, 19 * 33) })
            rows.Max(k => Math.Abs(found[k] - (double)values[k])).ShouldBeLessThan(rows.Max(k => Math.Abs((double)values[k])) / 200);
        file.Report.RelativeError.ShouldBeLessThan(2e-4);
        EmbeddingFile.Write(file.Path, source, "e.weight", new IntegerForm(8, 16, 33), default).ShouldBe(file);
        File.Delete(file.Path);
        EmbeddingFile.Write(file.Path, source, "e.weight", new IntegerForm(8, 16, 33), default).Report.ShouldBe(file.Report);
        File.ReadAllBytes(file.Path).ShouldBe(whole);
    }

    [Theory]
    [InlineData(EmbeddingForm.Bits4), InlineData(EmbeddingForm.Bases)]
    public void Plain_weights_have_the_embedding_as_it_is_stored(EmbeddingForm form)
    {
        var result = new ModelQuantizer(s_small with { Embedding = form }).Run(Reference.Path("architectures", "llama-mha"), _folder.File("out"));
        using var quantized = ModelSource.Open(result.Folder);
        DenseExport.Write(quantized, _folder.File("plain"), "F32", force: false);
        using var plain = ModelSource.Open(_folder.File("plain"));
        foreach (var report in result.Embeddings)
            Read(plain.Tensors, report.Weight).ShouldBe(Read(quantized.Tensors, report.Weight));
        plain.Tensors.Entries.ShouldAllBe(entry => entry.Type == "F32");
        Logits(plain).Zip(Logits(quantized), (a, b) => Math.Abs(a - b)).Max().ShouldBeLessThan(1e-4f);
    }

    private static float[] Read(ITensorSource source, string name)
    {
        var values = new float[source.Describe(name).Count];
        source.ReadFloat(name, 0, values);
        return values;
    }

    private static float[] Logits(ModelSource source)
    {
        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32, BasesLinearLoader.For(source));
        return model.forward(torch.tensor(new long[] { 1, 5, 2, 7 }, [1, 4])).ToArray<float>();
    }
}
