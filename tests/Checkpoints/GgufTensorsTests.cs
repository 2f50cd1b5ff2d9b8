using Qbb.Checkpoints;
using Qbb.Tests;
using static Qbb.Checkpoints.Tests.GgufLlama;

namespace Qbb.Checkpoints.Tests;

public sealed class GgufTensorsTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void Names_are_those_of_Hugging_Face()
    {
        using var tensors = Open(Model(biases: true).Tensor("rope_freqs.weight", [2], [1, 1]));
        tensors.Entries.Select(entry => entry.Name).ShouldBe(
        [
            "model.embed_tokens.weight", "model.norm.weight", "model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight",
            "model.layers.0.self_attn.v_proj.weight", "model.layers.0.self_attn.o_proj.weight", "model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.up_proj.weight",
            "model.layers.0.mlp.down_proj.weight", "model.layers.0.input_layernorm.weight", "model.layers.0.post_attention_layernorm.weight", "lm_head.weight",
            "model.layers.0.self_attn.q_proj.bias", "model.layers.0.self_attn.k_proj.bias", "model.layers.0.self_attn.v_proj.bias",
        ]);
        tensors.Contains("token_embd.weight").ShouldBeFalse();
        Should.Throw<InvalidInputException>(() => tensors.Describe("token_embd.weight"));
    }

    [Theory]
    [InlineData("q_proj.weight", Heads, Hidden)]
    [InlineData("k_proj.weight", KeyValueHeads, Hidden)]
    [InlineData("q_proj.bias", Heads, 1)]
    [InlineData("k_proj.bias", KeyValueHeads, 1)]
    public unsafe void Rows_of_llama_are_put_back_in_order(string name, int heads, int columns)
    {
        // llama.cpp's converter: view as [heads, 2, half, columns] and swap the middle axes.
        var rows = heads * HeadDim;
        var expected = new float[rows * columns];
        for (var head = 0; head < heads; head++)
        {
            for (var side = 0; side < 2; side++)
            {
                for (var pair = 0; pair < HeadDim / 2; pair++)
                {
                    for (var column = 0; column < columns; column++)
                    {
                        var stored = head * HeadDim + pair * 2 + side;
                        expected[(head * HeadDim + side * HeadDim / 2 + pair) * columns + column] = stored * columns + column;
                    }
                }
            }
        }
        using var tensors = Open(Model(biases: true));
        var full = $"model.layers.0.self_attn.{name}";
        tensors.ReadAll(full).ShouldBe(expected);
        tensors.TryGetPointer(full, out _).ShouldBeFalse();
        Should.Throw<InvalidInputException>(() => ((ITensorSource)tensors).ReadBytes(full, 0, new byte[4]));
        Should.Throw<ArgumentOutOfRangeException>(() => tensors.ReadFloat(full, rows * columns - 1, new float[2]));
        var one = new float[1];
        tensors.ReadFloat(full, columns + columns / 2, one);
        one[0].ShouldBe(expected[columns + columns / 2]);
    }

    [Theory]
    [InlineData("qwen2")]
    [InlineData("qwen3")]
    public unsafe void Rows_of_Qwen_stay_as_they_are(string architecture)
    {
        using var tensors = Open(Model(architecture, biases: true).Tensor("blk.0.attn_q_norm.weight", [HeadDim], Numbers(HeadDim)));
        tensors.ReadAll("model.layers.0.self_attn.q_proj.weight").ShouldBe(Numbers(Heads * HeadDim * Hidden));
        tensors.ReadAll("model.layers.0.self_attn.q_norm.weight").ShouldBe(Numbers(HeadDim));
        tensors.TryGetPointer("model.layers.0.self_attn.q_proj.weight", out var pointer).ShouldBeTrue();
        ((float*)pointer)[5].ShouldBe(5);
    }

    [Theory]
    [InlineData("mamba")]
    [InlineData("falcon")]
    [InlineData("")]
    public void Other_architectures_are_refused_and_the_known_ones_listed(string architecture)
    {
        var message = Should.Throw<InvalidInputException>(() => Open(Model(architecture))).Message;
        message.ShouldContain("known are gemma, gemma2, gemma3, gpt2, gptneox, granite, llama, olmo2, phi2, phi3, qwen2, qwen3, smollm3, starcoder2");
    }

    [Theory]
    [InlineData("blk.0.ffn_gate_exps.weight")]
    [InlineData("blk.00.attn_q.weight")]
    [InlineData("blk.-1.attn_q.weight")]
    [InlineData("blk.0.attn_q.scale")]
    [InlineData("other")]
    public void Tensors_without_a_place_are_refused_by_name(string name) =>
        Should.Throw<InvalidInputException>(() =>
            Open(Model().Tensor(name, [4, 4], new float[16]))).Message.ShouldContain($"tensor {name} ");

    [Fact]
    public void Rows_that_the_heads_cannot_share_are_refused() =>
        Should.Throw<InvalidInputException>(() =>
            Open(Metadata().Tensor("blk.0.attn_q.weight", [12, 1], new float[12]))).Message.ShouldContain("shared by 4 heads");

    private GgufTensors Open(GgufBuilder builder)
    {
        var file = GgufFile.Open(folder.Write("x.gguf", builder.Build()));
        try
        {
            return GgufTensors.Create(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }
}
