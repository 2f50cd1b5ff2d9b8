using System.Text.Json;
using Qbb.Tests;

namespace Qbb.Checkpoints.Tests;

public class SmolLm2Tests
{
    [Theory]
    [InlineData("model.layers.0.self_attn.q_proj.weight", "weight model.layers.0.self_attn.q_proj")]
    [InlineData("model.layers.0.self_attn.k_proj.weight", "weight model.layers.0.self_attn.k_proj")]
    [InlineData("model.layers.29.mlp.down_proj.weight", "weight model.layers.29.mlp.down_proj")]
    [InlineData("model.embed_tokens.weight", "weight embed")]
    public void Weights_in_Hugging_Face_order_are_those_of_the_reference(string name, string key)
    {
        using var golden = JsonDocument.Parse(File.ReadAllBytes(Reference.Shared("reference", "smollm2-135m.json")));
        using var model = ModelSource.Open(Reference.Shared("models", "smollm2-135m-instruct"));
        var expected = golden.RootElement.GetProperty(key);
        var entry = model.Tensors.Describe(name);
        if (expected.TryGetProperty("shape", out var shape))
            entry.Shape.ShouldBe(shape.EnumerateArray().Select(size => size.GetInt64()));
        var values = model.Tensors.ReadAll(name);
        values.Take(8).ShouldBe(expected.GetProperty("first8").EnumerateArray().Select(value => value.GetSingle()));
        values.Sum(value => (double)value).ShouldBe(expected.GetProperty("sum").GetDouble(), 1e-6);
        if (expected.TryGetProperty("sumsq", out var sumSquares))
            values.Sum(value => (double)value * value).ShouldBe(sumSquares.GetDouble(), 1e-12 * sumSquares.GetDouble());
    }

    [Fact]
    public void Configuration_is_that_of_the_model()
    {
        using var model = ModelSource.Open(Reference.Shared("models", "smollm2-135m-instruct"));
        model.Format.ShouldBe(ModelSource.Gguf);
        model.ConfigJson.ToJsonString().ShouldBe(
            """{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_act":"silu","hidden_size":576,"intermediate_size":1536,"num_hidden_layers":30,"num_attention_heads":9,"num_key_value_heads":3,"head_dim":64,"vocab_size":49152,"max_position_embeddings":8192,"rms_norm_eps":1E-05,"rope_theta":100000,"rope_scaling":null,"tie_word_embeddings":true,"attention_bias":false,"mlp_bias":false,"torch_dtype":"float32","bos_token_id":1,"eos_token_id":[2,0],"pad_token_id":2}""");
    }
}
