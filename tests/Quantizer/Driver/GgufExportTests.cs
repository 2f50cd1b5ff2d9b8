using System.Text.Json.Nodes;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Contracts;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Models.Tokenizers;
using Qbb.Quantizer.Driver;
using Qbb.Recipes;
using Qbb.Tests;

namespace Qbb.Quantizer.Tests.Driver;

/// <summary>GGUF files against the models that they were written from.</summary>
public sealed class GgufExportTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Targets => [.. Target.All.Select(target => target.Name).Where(name => name.StartsWith("gguf-"))];

    public static TheoryData<string> Families => new(
        "llama-gqa-tied", "llama-mha", "llama3-rope", "mistral", "qwen2", "qwen3", "gemma", "phi", "phi3", "gpt-neox", "gpt2", "gemma2", "gemma3", "granite", "olmo2", "smollm3",
        "starcoder2");

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Families))]
    public void Every_family_is_the_same_model_in_fp32(string family)
    {
        var model = WithTokenizer(Reference.Path("architectures", family));
        if (family is "gemma2" or "gemma3")
            Change(model, "query_pre_attn_scalar", 16);
        // GGUF has none for it, which is warned of.
        if (family == "starcoder2")
            Change(model, "sliding_window", null);
        var file = _folder.File("x.gguf");
        using var before = ModelSource.Open(model);
        var result = GgufExport.Write(before, file, GgufExport.F32, force: false);
        result.Bytes.ShouldBe(new FileInfo(file).Length);
        result.Types.Keys.ShouldBe(["F32"]);
        var warnings = new List<string>();
        using var heard = ModelWarnings.Listen(warnings.Add);
        using var after = ModelSource.Open(file);
        var needed = DecoderLayout.Resolve(DecoderConfig.FromJson(before.ConfigJson), before.Tensors).TensorNames.ToHashSet();
        foreach (var entry in before.Tensors.Entries.Where(entry => needed.Contains(entry.Name)))
        {
            var (expected, found) = (new float[entry.Count], new float[entry.Count]);
            before.Tensors.ReadFloat(entry.Name, 0, expected);
            after.Tensors.Describe(entry.Name).Shape.ShouldBe(entry.Shape);
            after.Tensors.ReadFloat(entry.Name, 0, found);
            // Norms that count from one are w + 1 in the file.
            if (family.StartsWith("gemma", StringComparison.Ordinal))
                found.ShouldBe(expected, 1e-6, entry.Name);
            else
                found.ShouldBe(expected, entry.Name);
        }
        var difference = Logits(before).Zip(Logits(after), (a, b) => Math.Abs(a - b)).Max();
        TestContext.Current.TestOutputHelper!.WriteLine($"{family}: largest difference of a logit {difference:g3}");
        difference.ShouldBeLessThan(1e-4f);
        warnings.ShouldBeEmpty();
    }

    [Fact]
    public void What_gguf_has_no_words_for_is_refused_and_leaves_nothing()
    {
        var model = WithTokenizer(Reference.Path("architectures", "gemma2"));
        using (var source = ModelSource.Open(model))
            Should.Throw<InvalidInputException>(() => GgufExport.Write(source, _folder.File("x.gguf"), GgufExport.F16, force: false)).Message.ShouldContain("AttentionScale is");
        Directory.GetFiles(_folder.Path).ShouldBeEmpty();
        Directory.Delete(model, recursive: true);
        using var opt = ModelSource.Open(WithTokenizer(Reference.Path("architectures", "opt")));
        Should.Throw<InvalidInputException>(() => GgufExport.Write(opt, _folder.File("x.gguf"), GgufExport.F16, force: false)).Message.ShouldContain("models of type opt cannot be written as GGUF");
    }

    [Theory]
    [MemberData(nameof(Targets))]
    public void A_target_is_written_bit_for_bit(string name)
    {
        var target = Target.Parse(name);
        var (model, quantized, file) = (RandomModel(), _folder.File("out"), _folder.File("x.gguf"));
        new ModelQuantizer(new Recipe().For(target)).Run(model, quantized);
        using var source = ModelSource.Open(quantized);
        source.ConfigJson["quantization_config"]!["target"]!.GetValue<string>().ShouldBe(name);
        var result = GgufExport.Write(source, file, name, force: false);
        result.Types[target.TypeName].ShouldBeGreaterThanOrEqualTo(14);
        using var after = ModelSource.Open(file);
        var config = DecoderConfig.FromJson(source.ConfigJson);
        foreach (var spec in DecoderLayout.Resolve(config, source.Tensors).Linears)
        {
            after.Tensors.Describe(spec.Weight).Type.ShouldBe(target.TypeName);
            var (expected, found) = (new float[spec.WeightCount], new float[spec.WeightCount]);
            BasesTensors.Read(source.Tensors, spec.Module, spec.OutFeatures, spec.InFeatures, target.Group).Dequantize(0, spec.OutFeatures, expected);
            after.Tensors.ReadFloat(spec.Weight, 0, found);
            found.ShouldBe(expected, spec.Weight);
        }
        foreach (var entry in source.Tensors.Entries.Where(entry => entry.Name.EndsWith(".weight", StringComparison.Ordinal)))
        {
            var (expected, found) = (new float[entry.Count], new float[entry.Count]);
            source.Tensors.ReadFloat(entry.Name, 0, expected);
            after.Tensors.ReadFloat(entry.Name, 0, found);
            found.ShouldBe(expected, entry.Name);
        }
        after.Tensors.Describe("model.embed_tokens.weight").Type.ShouldBe("Q8_0");
        var others = GgufExport.Formats.Where(format => format is not (GgufExport.F16 or GgufExport.F32) && format != name).ToList();
        // What a coarser grid's levels lie on holds them too; what does not is refused with the names of those that do.
        foreach (var other in others)
        {
            try
            {
                GgufExport.Write(source, _folder.File($"{other}.gguf"), other, force: false);
                using var wider = ModelSource.Open(_folder.File($"{other}.gguf"));
                Logits(wider).ShouldBe(Logits(after));
            }
            catch (InvalidInputException error)
            {
                error.Message.ShouldContain("an export changes none");
                error.Remedy!.ShouldContain(name);
                File.Exists(_folder.File($"{other}.gguf")).ShouldBeFalse();
            }
        }
    }

    [Fact]
    public void Free_levels_of_one_basis_fit_Q1_0_and_others_are_refused_with_a_remedy()
    {
        var (model, one, free) = (RandomModel(), _folder.File("one"), _folder.File("free"));
        new ModelQuantizer(new Recipe { Bases = 1, Group = 128, Bias = false }).Run(model, one);
        new ModelQuantizer(new Recipe { Bases = 4, Group = 32 }).Run(model, free);
        using (var source = ModelSource.Open(one))
            GgufExport.Write(source, _folder.File("one.gguf"), "gguf-q1_0", force: false).Types["Q1_0"].ShouldBe(14);
        using var other = ModelSource.Open(free);
        var error = Should.Throw<InvalidInputException>(() => GgufExport.Write(other, _folder.File("x.gguf"), "gguf-q4_1", force: false));
        error.Message.ShouldContain("model.layers.0.self_attn.q_proj.weight: its levels are not those of gguf-q4_1");
        error.Remedy.ShouldBe("use --format gguf-f16 or gguf-f32, or quantize with --target gguf-q4_1");
        using var plain = ModelSource.Open(model);
        Should.Throw<InvalidInputException>(() => GgufExport.Write(plain, _folder.File("x.gguf"), "gguf-q4_1", force: false)).Message.ShouldContain("qbb quantize MODEL --target gguf-q4_1");
        GgufExport.Write(other, _folder.File("x.gguf"), GgufExport.F16, force: false).Types.ShouldBe(new Dictionary<string, int> { ["F16"] = 15, ["F32"] = 5 });
        Should.Throw<InvalidInputException>(() => GgufExport.Write(other, _folder.File("x.gguf"), GgufExport.F16, force: false)).Message.ShouldContain("--force");
        GgufExport.Write(other, _folder.File("x.gguf"), GgufExport.F32, force: true);
        Should.Throw<InvalidInputException>(() => GgufExport.Write(other, _folder.Write("note.txt", "mine"u8.ToArray()), GgufExport.F32, force: true))
            .Message.ShouldContain("not a GGUF file");
    }

    [Fact]
    public void The_file_says_what_the_folder_says()
    {
        var (model, quantized, file) = (RandomModel(), _folder.File("out"), _folder.File("x.gguf"));
        File.WriteAllText(Path.Combine(model, "chat_template.jinja"), "{{ messages }}");
        File.WriteAllText(Path.Combine(model, "generation_config.json"), """{"eos_token_id":[1,2,5]}""");
        var recipe = new Recipe().For(Target.Parse("gguf-q4_1"));
        new ModelQuantizer(recipe).Run(model, quantized);
        using var source = ModelSource.Open(quantized);
        GgufExport.Write(source, file, "gguf-q4_1", force: false);
        using var written = GgufFile.Open(file);
        var keys = written.Metadata;
        keys["general.architecture"].ShouldBe("llama");
        keys["general.quantized_by"].ShouldBe("qbb");
        keys["general.recipe"].ShouldBe(recipe.ToCanonicalJson());
        keys["general.recipe_digest"].ShouldBe(recipe.Resolve().Digest);
        using (var original = ModelSource.Open(model))
            keys["general.base_model.0.digest"].ShouldBe(ModelDigest.Compute(original, default));
        keys["general.base_model.0.name"].ShouldBe("model");
        keys["tokenizer.chat_template"].ShouldBe("{{ messages }}");
        (keys["tokenizer.ggml.eos_token_id"], keys["tokenizer.ggml.eot_token_id"], keys["tokenizer.ggml.eom_token_id"]).ShouldBe((1ul, 2ul, 5ul));
        keys["tokenizer.ggml.pre"].ShouldBe("gpt-2");
        keys["general.file_type"].ShouldBe(3ul);
        using var after = ModelSource.Open(file);
        after.LoadTokenizer().Encode("abc cab").ShouldBe(source.LoadTokenizer().Encode("abc cab"));
        // A GGUF file is a source like any other.
        GgufExport.Write(after, _folder.File("y.gguf"), GgufExport.F32, force: false);
        using var again = ModelSource.Open(_folder.File("y.gguf"));
        Logits(again).ShouldBe(Logits(after));
        again.GgufMetadata!["tokenizer.chat_template"].ShouldBe("{{ messages }}");
    }

    [Fact]
    public void Rows_that_a_target_cannot_hold_are_refused_before_any_work()
    {
        var error = Should.Throw<InvalidInputException>(
            () => new ModelQuantizer(new Recipe().For(Target.Parse("gguf-q1_0"))).Run(Reference.Path("architectures", "llama-mha"), _folder.File("out")));
        error.Message.ShouldContain("self_attn.q_proj.weight has rows of");
        Directory.GetFileSystemEntries(_folder.Path).ShouldBeEmpty();
    }

    /// <summary>Two blocks whose rows hold every target's blocks, with random weights and a tokenizer.</summary>
    private string RandomModel() => RandomModel(_folder);

    internal static string RandomModel(TemporaryFolder parent)
    {
        var folder = Directory.CreateDirectory(parent.File("model")).FullName;
        var json = (JsonObject)JsonNode.Parse("""
            {"model_type":"llama","hidden_size":128,"intermediate_size":256,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"vocab_size":64,
             "max_position_embeddings":64,"rms_norm_eps":1e-5,"tie_word_embeddings":true,"bos_token_id":0,"eos_token_id":1}
            """)!;
        File.WriteAllText(Path.Combine(folder, "config.json"), json.ToJsonString());
        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), TokenizerOf(64));
        var config = DecoderConfig.FromJson(json);
        var layout = DecoderLayout.Of(config);
        var declarations = layout.TensorNames.Distinct().Select(name => new TensorDeclaration(name, "F32", ShapeOf(name))).ToList();
        using var writer = SafetensorsWriter.Create(Path.Combine(folder, "model.safetensors"), declarations);
        foreach (var (name, _, shape) in declarations)
        {
            var values = Synthetic.StudentT5((int)shape.Aggregate(1L, (a, b) => a * b), (ulong)name.Length + (ulong)name[^9]);
            writer.Write(name, shape.Count == 1 ? [.. values.Select(_ => 1f)] : [.. values.Select(value => value * 0.05f)]);
        }
        writer.Commit();
        return folder;

        long[] ShapeOf(string name) => name == layout.Embedding ? [64, 128]
            : layout.Linears.FirstOrDefault(spec => spec.Weight == name) is { } spec ? [spec.OutFeatures, spec.InFeatures] : [128];
    }

    private string WithTokenizer(string model)
    {
        var folder = Directory.CreateDirectory(_folder.File("model")).FullName;
        foreach (var file in Directory.GetFiles(model))
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), TokenizerOf(40));
        return folder;
    }

    private static void Change(string model, string member, JsonNode? value)
    {
        var path = Path.Combine(model, "config.json");
        var json = JsonNode.Parse(File.ReadAllText(path))!;
        json[member] = value;
        File.WriteAllText(path, json.ToJsonString());
    }

    /// <summary>Byte-level BPE of single letters and a merge.</summary>
    private static string TokenizerOf(int size)
    {
        var vocabulary = new JsonObject { ["<s>"] = 0, ["</s>"] = 1, ["a"] = 2, ["b"] = 3, ["c"] = 4, ["ab"] = 5 };
        for (var id = vocabulary.Count; id < size - 2; id++)
            vocabulary[$"t{id}"] = id;
        return new JsonObject
        {
            ["version"] = "1.0",
            ["added_tokens"] = new JsonArray(Added(0, "<s>"), Added(1, "</s>")),
            ["normalizer"] = null,
            ["pre_tokenizer"] = new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["trim_offsets"] = true, ["use_regex"] = true },
            ["post_processor"] = null,
            ["decoder"] = new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = true, ["trim_offsets"] = true, ["use_regex"] = true },
            ["model"] = new JsonObject { ["type"] = "BPE", ["vocab"] = vocabulary, ["merges"] = new JsonArray("a b") },
        }.ToJsonString();

        static JsonObject Added(int id, string content) => new()
        {
            ["id"] = id,
            ["content"] = content,
            ["single_word"] = false,
            ["lstrip"] = false,
            ["rstrip"] = false,
            ["normalized"] = false,
            ["special"] = true,
        };
    }

    internal static float[] Logits(ModelSource source)
    {
        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32, BasesLinearLoader.For(source));
        long[] ids = [.. Enumerable.Range(0, 24).Select(k => (long)(k * 17 % 40))];
        return model.forward(torch.tensor(ids, 1, ids.Length)).ToArray<float>();
    }
}
