using System.Text.Json;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Models.Generation;
using Qbb.Models.Tokenizers;
using Qbb.Tests;

namespace Qbb.Models.Tests.Decoder;

/// <summary>Checkpoints as people report them (tests/Reference/field): what loads, with which logits, and what is warned of.</summary>
public class FieldTests(ITestOutputHelper output)
{
    private const double Tolerance = 1e-4;

    [Theory]
    [InlineData("nulls", null)]
    [InlineData("tied-flag-own-head", "lm_head.weight that differs")]
    [InlineData("index-stale-entry", "listed tensors are in no shard")]
    [InlineData("index-omits-tensor", "not in the index")]
    [InlineData("llama-no-o-bias", "biases that the checkpoint lacks: model.layers.0.self_attn.o_proj.bias")]
    [InlineData("leftover-quantization-config", "quantization_config (bitsandbytes) is ignored")]
    [InlineData("gguf-qkv-bias", null)]
    [InlineData("yarn-attn-factor", "rope_scaling: attn_factor has no effect with rope type yarn")]
    [InlineData("rope-mrope-section", "rope_scaling: mrope_section has no effect with rope type default")]
    [InlineData("tokenizer-one-more", null)]
    [InlineData("gguf-no-pre", "tokenizer.ggml.pre\" is missing")]
    [InlineData("gguf-split", null)]
    [InlineData("gguf-split/tiny-00002-of-00002.gguf", null)]
    public void Logits_are_right_and_warnings_say_what_was_mended(string name, string? warning)
    {
        using var scope = torch.NewDisposeScope();
        using var grad = torch.no_grad();
        var warnings = new List<string>();
        using var heard = ModelWarnings.Listen(warnings.Add);
        using var source = ModelSource.Open(Reference.Path("field", name));
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32);
        source.LoadTokenizer().VocabularySize.ShouldBeGreaterThan(0);
        var expected = JsonDocument.Parse(File.ReadAllText(Reference.Path("field", name.Split('/')[0], "expected.json"))).RootElement;
        var ids = expected.GetProperty("ids").Deserialize<long[]>()!;
        var rows = expected.GetProperty("logits").Deserialize<float[][]>()!;
        var logits = model.forward(torch.tensor(ids, 1, ids.Length));
        var difference = (logits - torch.tensor([.. rows.SelectMany(row => row)], 1, rows.Length, rows[0].Length)).abs().max().ToDouble();
        output.WriteLine($"{name}: largest difference {difference:E2}, allowed {Tolerance:E0}; warnings: {string.Join("; ", warnings)}");
        difference.ShouldBeLessThan(Tolerance);
        if (warning is null)
            warnings.ShouldBeEmpty();
        else
            warnings.ShouldHaveSingleItem().ShouldContain(warning);
    }

    [Fact]
    public void An_added_token_keeps_the_id_of_the_vocabulary()
    {
        var warnings = new List<string>();
        using var heard = ModelWarnings.Listen(warnings.Add);
        var tokenizer = Tokenizer.FromFile(Reference.Path("field", "tokenizer-added-other-id", "tokenizer.json"));
        tokenizer.TokenToId("the").ShouldBe(79);
        tokenizer.Encode("the", addSpecialTokens: false).ShouldBe([79]);
        warnings.ShouldHaveSingleItem().ShouldContain("gives the token \"the\" the id 200; it has 79, which is used");
    }

    [Theory]
    [InlineData("eos-string", new[] { 2 })]
    [InlineData("gguf-eot-key", new[] { 2, 3 })]
    public void Texts_end_at_every_token_that_the_files_name(string name, int[] expected)
    {
        using var source = ModelSource.Open(Reference.Path("field", name));
        StopIds.Of(source).ShouldBe(expected);
    }

    [Theory]
    [InlineData("{\"eos_token_id\": [\"2\", 3.0, 3, -1]}", new[] { 2, 3 })]
    [InlineData("{\"eos_token_id\": null}", new[] { 7 })]
    [InlineData("{\"eos_token_id\": 2e0}", new[] { 2 })]
    [InlineData("{\"eos_token_id\": \"x\"}", null)]
    [InlineData("{\"eos_token_id\": [[2]]}", null)]
    [InlineData("{\"eos_token_id\": {}}", null)]
    [InlineData("{\"eos_token_id\": 1e300}", null)]
    [InlineData("{\"eos_token_id\": 2", null)]
    [InlineData("[]", null)]
    [InlineData("", null)]
    public void The_generation_settings_give_the_ends_or_are_refused_by_name(string generation, int[]? expected)
    {
        using var folder = new TemporaryFolder();
        foreach (var file in Directory.GetFiles(Reference.Path("field", "eos-string")))
            File.Copy(file, folder.File(Path.GetFileName(file)));
        folder.Write("config.json", File.ReadAllText(folder.File("config.json")).Replace("\"2\"", "7", StringComparison.Ordinal));
        folder.Write("generation_config.json", generation);
        using var source = ModelSource.Open(folder.Path);
        if (expected is not null)
            StopIds.Of(source).ShouldBe(expected);
        else
            Should.Throw<InvalidInputException>(() => StopIds.Of(source)).Message.ShouldContain("generation_config.json");
    }
}
