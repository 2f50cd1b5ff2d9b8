using System.Text.Json;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Models.Generation;
using Qbb.Tests;

namespace Qbb.Models.Tests.Decoder;

/// <summary>Pretrained models against what transformers gives for them.</summary>
public class RealModelTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("stories260k")]
    [InlineData("babyllama-tok361")]
    public void Logits_and_greedy_text_of_small_models_agree(string name)
    {
        var reference = Read(Reference.Path("real-models.json")).GetProperty(name);
        using var scope = torch.NewDisposeScope();
        using var grad = torch.no_grad();
        using var source = ModelSource.Open(Reference.Shared("models", name));
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32);
        CheckLogits(model, reference.GetProperty("input_ids")[0], reference, "logits_last5_first8", "logits_sum", 1e-4);

        var expected = reference.GetProperty("greedy60_from_bos").Deserialize<int[]>()!;
        Greedy(model, expected[..1], expected.Length - 1).ShouldBe(expected[1..]);
    }

    [Fact]
    public void Logits_and_greedy_text_of_SmolLM2_agree()
    {
        var reference = Read(Reference.Path("smollm2-135m.json"));
        using var scope = torch.NewDisposeScope();
        using var grad = torch.no_grad();
        using var source = ModelSource.Open(Reference.Shared("models", "smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf"));
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32);
        CheckLogits(model, reference.GetProperty("input_ids")[0], reference, "logits_text0_last5_first8", "logits_text0_sum", 1e-3);
        var greedy = reference.GetProperty("greedy40").EnumerateArray().ToArray();
        var prompts = greedy.Select(text => reference.GetProperty("input_ids")[text.GetProperty("text").GetInt32()].Deserialize<int[]>()!).ToArray();
        var generated = new TokenGenerator(model).Generate(prompts, new ulong[prompts.Length], new GenerationOptions { MaxTokens = 40, Temperature = 0 });
        for (var row = 0; row < greedy.Length; row++)
            generated[row].Tokens.ShouldBe(greedy[row].GetProperty("ids").Deserialize<int[]>()!);
    }

    [Theory]
    [InlineData("narrow-F32")]
    [InlineData("narrow-F16")]
    [InlineData("narrow-BF16")]
    [InlineData("narrow-Q8_0")]
    [InlineData("narrow-Q4_0")]
    [InlineData("narrow-Q4_1")]
    [InlineData("narrow-bpe-Q8_0")]
    [InlineData("wide-Q4_K_M")]
    [InlineData("wide-Q5_K_M")]
    [InlineData("wide-Q6_K")]
    public void Logits_of_GGUF_files_agree(string name)
    {
        using var scope = torch.NewDisposeScope();
        using var grad = torch.no_grad();
        using var source = ModelSource.Open(Reference.Path("gguf", name + ".gguf"));
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32);
        var golden = Golden.Read(Reference.Path("gguf", name + ".golden.json"));
        var difference = golden.Difference(model.forward(golden.Ids()));
        output.WriteLine($"{name}: largest difference {difference:E2}, allowed {Golden.Tolerance:E0}");
        difference.ShouldBeLessThan(Golden.Tolerance);
    }

    private void CheckLogits(Transformer model, JsonElement ids, JsonElement reference, string listed, string sum, double tolerance)
    {
        var input = ids.Deserialize<long[]>()!;
        var logits = model.forward(torch.tensor(input, 1, input.Length)).view(input.Length, -1);
        var expected = reference.GetProperty(listed).Deserialize<float[][]>()!;
        var rows = expected.Length;
        var wanted = torch.tensor([.. expected.SelectMany(row => row)], rows, expected[0].Length);
        var difference = (logits.narrow(0, input.Length - rows, rows).narrow(1, 0, expected[0].Length) - wanted).abs().max().ToDouble();
        var total = logits.to(ScalarType.Float64).sum().ToDouble();
        var expectedTotal = reference.GetProperty(sum).GetDouble();
        output.WriteLine($"largest difference {difference:E2}, allowed {tolerance:E0}; sum {total:F3}, expected {expectedTotal:F3}");
        difference.ShouldBeLessThan(tolerance);
        total.ShouldBe(expectedTotal, tolerance * Math.Abs(expectedTotal));
    }

    private static IReadOnlyList<int> Greedy(Transformer model, int[] prompt, int count) =>
        new TokenGenerator(model).Generate([prompt], [0], new GenerationOptions { MaxTokens = count, Temperature = 0 })[0].Tokens;

    private static JsonElement Read(string path) => JsonDocument.Parse(File.ReadAllText(path)).RootElement;
}
