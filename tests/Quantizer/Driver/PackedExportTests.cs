using System.Text.Json.Nodes;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Contracts;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Driver;
using Qbb.Recipes;
using Qbb.Tests;

namespace Qbb.Quantizer.Tests.Driver;

/// <summary>Folders for other programs against the models that they were written from.</summary>
public sealed class PackedExportTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string, int, bool> Targets()
    {
        var data = new TheoryData<string, int, bool>();
        foreach (var (target, bases, bias) in new[]
        {
            ("gptq", 2, true), ("gptq", 3, true), ("gptq", 4, true), ("gptq", 4, false), ("gptq", 8, false), ("compressed-tensors", 3, true), ("compressed-tensors", 4, true),
            ("compressed-tensors", 4, false), ("hqq", 2, true), ("hqq", 3, true), ("hqq", 4, true), ("hqq", 8, true),
        })
            data.Add(target, bases, bias);
        return data;
    }

    [Theory]
    [MemberData(nameof(Targets))]
    public void A_target_is_written_bit_for_bit(string name, int bits, bool bias)
    {
        var (model, quantized, written, plain) = (GgufExportTests.RandomModel(_folder), _folder.File("out"), _folder.File("written"), _folder.File("plain"));
        new ModelQuantizer(new Recipe { Bases = bits, Group = 64, Bias = bias, Rounds = 3 }.For(Target.Parse(name))).Run(model, quantized);
        using var source = ModelSource.Open(quantized);
        source.ConfigJson["quantization_config"]!["target"]!.GetValue<string>().ShouldBe(name);
        var result = PackedExport.Write(source, written, name, force: false);
        result.Description.ShouldContain($"{bits} bits, groups of 64");
        result.Description.Contains("symmetric").ShouldBe(!bias && name != "hqq");
        using var after = ModelSource.Open(written);
        after.Packed!.Description.ShouldBe(result.Description);
        var packed = (PackedTensors)after.Tensors;
        foreach (var spec in DecoderLayout.Resolve(DecoderConfig.FromJson(source.ConfigJson), source.Tensors).Linears)
        {
            var (expected, found, exact) = (new float[spec.WeightCount], new float[spec.WeightCount], new float[spec.WeightCount]);
            BasesTensors.Read(source.Tensors, spec.Module, spec.OutFeatures, spec.InFeatures, 64).Dequantize(0, spec.OutFeatures, expected);
            (packed.TryRead(spec.Weight)! with { Type = "F32" }).Dequantize(0, exact);
            exact.AsSpan().SequenceEqual(expected).ShouldBeTrue(spec.Weight);
            after.Tensors.ReadFloat(spec.Weight, 0, found);
            found.AsSpan().SequenceEqual(Array.ConvertAll(expected, value => (float)(Half)value)).ShouldBeTrue(spec.Weight);
        }
        foreach (var entry in source.Tensors.Entries.Where(entry => entry.Name.EndsWith(".weight", StringComparison.Ordinal)))
            Read(after.Tensors, entry.Name).ShouldBe(Read(source.Tensors, entry.Name));
        // As other programs see it, the model is that of --format fp16, but for embedding and norms, which stay fp32 here.
        DenseExport.Write(source, plain, "F16", force: false);
        using var dense = ModelSource.Open(plain);
        foreach (var matrix in packed.Matrices)
            Read(after.Tensors, matrix).ShouldBe(Read(dense.Tensors, matrix));
        // And it is written again as it was, whatever else it fits.
        PackedExport.Write(after, _folder.File("again"), name, force: false);
        AssertSameTensors(written, _folder.File("again"));
    }

    [Fact]
    public void A_result_goes_into_every_format_that_holds_it()
    {
        var (model, quantized) = (GgufExportTests.RandomModel(_folder), _folder.File("out"));
        new ModelQuantizer(new Recipe { Rounds = 2 }.For(Target.Parse("gptq"))).Run(model, quantized);
        using var source = ModelSource.Open(quantized);
        foreach (var format in PackedExport.Formats)
        {
            PackedExport.Write(source, _folder.File(format), format, force: false);
            using var written = ModelSource.Open(_folder.File(format));
            written.Packed!.Format.ShouldBe(format);
            using var first = ModelSource.Open(_folder.File("gptq"));
            GgufExportTests.Logits(written).ShouldBe(GgufExportTests.Logits(first));
            // From one to the next, too.
            PackedExport.Write(written, _folder.File("back"), "gptq", force: true);
            AssertSameTensors(_folder.File("gptq"), _folder.File("back"));
        }
        var config = JsonNode.Parse(File.ReadAllText(Path.Combine(_folder.File("gptq"), "config.json")))!;
        config["torch_dtype"]!.GetValue<string>().ShouldBe("float16");
        JsonNode.DeepEquals(config["quantization_config"], JsonNode.Parse(File.ReadAllText(Path.Combine(_folder.File("gptq"), "quantize_config.json")))).ShouldBeTrue();
        config["quantization_config"]!["checkpoint_format"]!.GetValue<string>().ShouldBe("gptq");
        using var compressed = ModelSource.Open(_folder.File("compressed-tensors"));
        compressed.ConfigJson["quantization_config"]!["ignore"]!.AsArray().Select(name => name!.ToString()).ShouldBe(["lm_head"]);
    }

    [Fact]
    public void What_a_format_does_not_hold_is_refused_with_those_that_do()
    {
        var (model, free, fine, five) = (GgufExportTests.RandomModel(_folder), _folder.File("free"), _folder.File("fine"), _folder.File("five"));
        new ModelQuantizer(new Recipe { Bases = 4, Rounds = 2 }).Run(model, free);
        new ModelQuantizer(new Recipe { Bases = 4, Rounds = 2 }.For(Target.Parse("hqq"))).Run(model, fine);
        new ModelQuantizer(new Recipe { Rounds = 2 }.For(Target.Parse("gguf-q4_0"))).Run(model, five);
        Refusal(free, "gptq").ShouldBe(("model.layers.0.self_attn.q_proj: its levels are not uniform, so gptq does not hold it, and an export changes nothing",
            "use --format fp16, or quantize with --target gptq"));
        var (problem, remedy) = Refusal(fine, "gptq-v2");
        problem.ShouldContain("its zero points are not whole numbers of 0 to 15");
        remedy.ShouldBe("use --format hqq or fp16, or quantize with --target gptq");
        Refusal(model, "hqq").Problem.ShouldContain("is not quantized");
        Directory.Exists(_folder.File("x")).ShouldBeFalse();
        // Q4_0's levels have their zero point in the middle.
        using var source = ModelSource.Open(five);
        PackedExport.Write(source, _folder.File("x"), "gptq", force: false).Description.ShouldBe("GPTQ v1, 4 bits, groups of 32, symmetric");

        (string Problem, string? Remedy) Refusal(string folder, string format)
        {
            using var source = ModelSource.Open(folder);
            var error = Should.Throw<InvalidInputException>(() => PackedExport.Write(source, _folder.File("x"), format, force: false));
            return (error.Message[..^(error.Remedy!.Length + 2)], error.Remedy);
        }
    }

    [Fact]
    public void A_packed_folder_is_quantized_on_from_and_the_result_says_so()
    {
        var (model, quantized, packed, next) = (GgufExportTests.RandomModel(_folder), _folder.File("out"), _folder.File("packed"), _folder.File("next"));
        new ModelQuantizer(new Recipe { Rounds = 2 }.For(Target.Parse("compressed-tensors"))).Run(model, quantized);
        using (var source = ModelSource.Open(quantized))
            PackedExport.Write(source, packed, "compressed-tensors", force: false);
        new ModelQuantizer(new Recipe { Bases = 2, Rounds = 2 }).Run(packed, next);
        using var result = ModelSource.Open(next);
        result.Packed.ShouldBeNull();
        JsonNode.Parse(File.ReadAllText(Path.Combine(next, "metrics.json")))!["startsFrom"]!.GetValue<string>().ShouldBe("compressed-tensors 0.19.0, 4 bits, groups of 128");
        File.ReadAllText(Path.Combine(next, "README.md")).ShouldContain("| starts from | weights that are quantized already: compressed-tensors 0.19.0, 4 bits, groups of 128 |");
        File.Exists(Path.Combine(next, "quantize_config.json")).ShouldBeFalse();
    }

    [Fact]
    public void A_recipes_exports_lie_beside_its_result()
    {
        var (model, output) = (GgufExportTests.RandomModel(_folder), _folder.File("out"));
        var recipe = Recipe.FromPart("""{"target":"gptq","rounds":2,"exports":["gptq","awq","gguf-f32"]}""");
        new ModelQuantizer(recipe).Run(model, output);
        File.ReadAllText(Path.Combine(output, "README.md")).ShouldContain("| exported to gguf-f32 | `exports/gguf-f32.gguf` |");
        float[][] logits = [.. new[] { "exports/gptq", "exports/awq" }.Select(name => Path.Combine(output, name)).Append(Path.Combine(output, "exports", "gguf-f32.gguf")).Append(output).Select(path =>
        {
            using var source = ModelSource.Open(path);
            return GgufExportTests.Logits(source);
        })];
        logits[1].ShouldBe(logits[0]);
        logits[2].ShouldBe(logits[0], 1e-2);
        logits[3].ShouldBe(logits[2], 1e-2);
        // All of it is qbb's, and replaced together.
        new ModelQuantizer(recipe).Run(model, output, force: true);
    }

    public static TheoryData<string> Folders => new(
        "awq-gemm-4bit-g128", "compressed-tensors-w3a16-sym-g128", "compressed-tensors-w3a16-sym-g128-padded", "compressed-tensors-w4a16-asym-g128",
        "compressed-tensors-w4a16-asym-g128-gidx", "compressed-tensors-w4a16-sym-g128", "compressed-tensors-w8a16-channel", "gptq-2bit-g64-asym", "gptq-3bit-g128-sym",
        "gptq-4bit-g128-asym-desc-act", "gptq-4bit-g128-sym", "gptq-8bit-channel-sym", "gptq-v2-4bit-g128-asym", "hqq-2bit-g16", "hqq-3bit-g64", "hqq-4bit-g64",
        "hqq-4bit-g64-axis0-float32");

    [Theory]
    [MemberData(nameof(Folders))]
    public void What_a_library_wrote_is_exported_as_it_was_and_runs(string name)
    {
        var folder = Reference.Shared("reference", "quantized", name);
        using var source = ModelSource.Open(folder);
        PackedExport.Write(source, _folder.File("again"), source.Packed!.Format, force: false);
        AssertSameTensors(folder, _folder.File("again"));
        using var again = ModelSource.Open(_folder.File("again"));
        JsonNode.DeepEquals(again.ConfigJson, source.ConfigJson).ShouldBeTrue();
        var golden = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "golden.json")))!;
        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32, null);
        long[] ids = [.. golden["input_ids"]!.AsArray().Select(id => id!.GetValue<long>())];
        var (expected, found) = (golden["logits"]!.AsArray().SelectMany(row => row!.AsArray()).Select(value => value!.GetValue<float>()).ToArray(), model.forward(torch.tensor(ids, 1, ids.Length)).ToArray<float>());
        var difference = expected.Zip(found, (a, b) => Math.Abs(a - b)).Max();
        TestContext.Current.TestOutputHelper!.WriteLine($"{name}: largest difference of a logit {difference:g3}");
        difference.ShouldBeLessThan(1e-4f);
    }

    [Fact]
    public void Bitsandbytes_is_refused_by_name()
    {
        var model = Reference.Shared("reference", "quantized", "bitsandbytes-nf4");
        var message = Should.Throw<InvalidInputException>(() => ModelQuantizer.Fit(new Recipe().For(Target.Parse("gptq")), model)).Message;
        message.ShouldContain("bitsandbytes");
        message.ShouldContain("take the original or a dequantised checkpoint");
    }

    private static float[] Read(ITensorSource tensors, string name)
    {
        var values = new float[tensors.Describe(name).Count];
        tensors.ReadFloat(name, 0, values);
        return values;
    }

    private static void AssertSameTensors(string expected, string found)
    {
        using var first = ModelSource.Open(expected);
        using var second = ModelSource.Open(found);
        second.StoredTensors.Entries.Select(entry => entry.Name).Order().ShouldBe(first.StoredTensors.Entries.Select(entry => entry.Name).Order());
        foreach (var entry in first.StoredTensors.Entries)
        {
            var other = second.StoredTensors.Describe(entry.Name);
            (other.Type, string.Join(',', other.Shape)).ShouldBe((entry.Type, string.Join(',', entry.Shape)), entry.Name);
            var (a, b) = (new byte[entry.Bytes], new byte[entry.Bytes]);
            first.StoredTensors.ReadBytes(entry.Name, 0, a);
            second.StoredTensors.ReadBytes(entry.Name, 0, b);
            a.AsSpan().SequenceEqual(b).ShouldBeTrue(entry.Name);
        }
    }
}
