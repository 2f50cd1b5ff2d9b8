using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Tests;
using static Qbb.Checkpoints.Tests.GgufLlama;

namespace Qbb.Checkpoints.Tests;

public sealed class GgufConfigTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    /// <summary>A registry reads no weights; it has the first bytes of a file.</summary>
    [Fact]
    public void Sizes_are_told_by_the_first_bytes_of_a_file()
    {
        var bytes = Model().Add("llama.vocab_size", (uint)Vocabulary).Build();
        var sizes = GgufConfig.SizesOf(bytes[..^2000])!;
        var whole = Config(Model());
        string[] names = ["num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "vocab_size", "max_position_embeddings"];
        foreach (var name in names)
            sizes[name]!.ToString().ShouldBe(whole[name]!.ToString(), name);
        GgufConfig.SizesOf(bytes[..100]).ShouldBeNull("it is cut off inside the metadata");
        GgufConfig.SizesOf([1, 2, 3]).ShouldBeNull();
    }

    [Fact]
    public void Metadata_become_a_llama_configuration()
    {
        var config = Config(Model(biases: true).Add("llama.rope.freq_base", 500000f).Add("tokenizer.ggml.bos_token_id", 1u)
            .Add("tokenizer.ggml.eos_token_id", 2u));
        config.ToJsonString().ShouldBe(
            """{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_act":"silu","hidden_size":16,"intermediate_size":24,"num_hidden_layers":1,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":4,"vocab_size":10,"max_position_embeddings":64,"rms_norm_eps":1E-06,"rope_theta":500000,"rope_scaling":null,"tie_word_embeddings":false,"attention_bias":true,"mlp_bias":false,"torch_dtype":"float32","bos_token_id":1,"eos_token_id":2}""");
    }

    [Fact]
    public void Key_length_gives_the_head_and_a_missing_output_ties_it()
    {
        var config = Config(Model("qwen3", head: false).Add("qwen3.attention.key_length", 8u).Add("qwen3.attention.value_length", 8u));
        ((int)config["head_dim"]!).ShouldBe(8);
        ((bool)config["tie_word_embeddings"]!).ShouldBeTrue();
        ((string)config["model_type"]!).ShouldBe("qwen3");
    }

    [Fact]
    public void Linear_scaling_is_carried() =>
        Scaling(Model().Add("llama.rope.scaling.type", "linear").Add("llama.rope.scaling.factor", 2.5f)).ShouldBe("""{"rope_type":"linear","factor":2.5}""");

    [Fact]
    public void Yarn_scaling_is_carried()
    {
        var model = Model().Add("llama.rope.scaling.type", "yarn").Add("llama.rope.scaling.factor", 4f)
            .Add("llama.rope.scaling.original_context_length", 32u);
        Scaling(model).ShouldBe("""{"rope_type":"yarn","factor":4,"original_max_position_embeddings":32}""");
    }

    [Fact]
    public void Unknown_scaling_is_refused() =>
        Should.Throw<InvalidInputException>(() =>
            Config(Model().Add("llama.rope.scaling.type", "magic").Add("llama.rope.scaling.factor", 4f))).Message.ShouldContain("magic");

    [Theory]
    [InlineData(8, 1, 4, 8192, 128, 500000, false)]
    [InlineData(32, 1, 4, 8192, 64, 500000, false)]
    [InlineData(8, 1, 4, 64, 16, 10000, true)]
    [InlineData(16, 1, 8, 4096, 128, 10000, false)]
    [InlineData(8, 2, 6, 1024, 128, 10000, true)]
    public void Llama3_scaling_is_recovered_from_the_factors(double factor, double low, double high, int original, int headDim,
        double theta, bool isOriginalKnown)
    {
        // The formula of transformers' modeling_rope_utils, in fp32 as llama.cpp's converter has it.
        var factors = new float[headDim / 2];
        for (var i = 0; i < factors.Length; i++)
        {
            var wavelength = 2 * MathF.PI * MathF.Pow((float)theta, 2f * i / headDim);
            var smooth = (original / wavelength - (float)low) / (float)(high - low);
            factors[i] = wavelength < original / high ? 1 : wavelength > original / low ? (float)factor
                : 1 / ((1 - smooth) / (float)factor + smooth);
        }
        var model = Model().Add("llama.rope.freq_base", (float)theta).Add("llama.rope.dimension_count", (uint)headDim)
            .Tensor("rope_freqs.weight", [headDim / 2], factors);
        if (isOriginalKnown)
            model.Add("llama.rope.scaling.original_context_length", (uint)original);
        Scaling(model).ShouldBe($$"""{"rope_type":"llama3","factor":{{factor}},"low_freq_factor":{{low}},"high_freq_factor":{{high}},"original_max_position_embeddings":{{original}}}""");
    }

    [Fact]
    public void Factors_of_another_making_are_carried_as_those_of_longrope() =>
        Scaling(Model().Tensor("rope_freqs.weight", [2], [1.5f, 3.25f])).ShouldBe(
            """{"rope_type":"longrope","short_factor":[1.5,3.25],"long_factor":[1.5,3.25],"factor":1,"attention_factor":1,"original_max_position_embeddings":64}""");

    [Fact]
    public void Factors_of_one_scale_nothing() => Config(Model().Tensor("rope_freqs.weight", [2], [1, 1]))["rope_scaling"].ShouldBeNull();

    [Fact]
    public void What_contradicts_or_lacks_is_refused_by_key()
    {
        Refused("rope_freqs.weight has 3 factors", Model().Tensor("rope_freqs.weight", [3], [1, 2, 3]));
        Refused("not positive", Model().Tensor("rope_freqs.weight", [2], [1, -2]));
        Refused("rope_freqs.weight holds NaN", Model().Tensor("rope_freqs.weight", [2], [1, float.NaN]));
        Refused("has no metadata llama.context_length",
            AddTensors(new GgufBuilder()
                .Add("general.architecture", "llama").Add("llama.embedding_length", 16u).Add("llama.attention.head_count", 4u)));
        Refused("llama.rope.freq_base is -1", Model().Add("llama.rope.freq_base", -1f));
        Refused("llama.rope.freq_base is Infinity", Model().Add("llama.rope.freq_base", float.PositiveInfinity));
        Refused("rotates 2 of 4", Model().Add("llama.rope.dimension_count", 2u).Add("llama.attention.key_length", 4u));
        Refused("keys of 4 and values of 8", Model().Add("llama.attention.value_length", 8u));
        Refused("attention.scale is 0.5", Model().Add("llama.attention.scale", 0.5f));
        Refused("is piece 1 of 3 of a model", Model().Add("split.count", (ushort)3));
        Refused("attn_factor is 0.5", Model().Add("llama.rope.scaling.attn_factor", 0.5f));
        Refused("yarn_ext_factor is 0.5", Model().Add("llama.rope.scaling.type", "yarn").Add("llama.rope.scaling.yarn_ext_factor", 0.5f));
        Refused("yarn_attn_factor is 2", Model().Add("llama.rope.scaling.type", "yarn").Add("llama.rope.scaling.yarn_attn_factor", 2f));
        Refused("attention.causal is false", Model().Add("llama.attention.causal", false));
        Refused("mixtures of experts", Model().Add("llama.expert_count", 8u));
        Refused("has no tensor token_embd.weight", Metadata());
        Refused("disagrees with the hidden size 16", Metadata().Tensor("token_embd.weight", [2, 8], new float[16]));
        Refused("llama.rope.dimension_count is 0", Model().Add("llama.rope.dimension_count", 0u));
        Refused("llama.rope.dimension_count is an array of 2", Model().Add("llama.rope.dimension_count", new[] { 4, 8 }));
    }

    [Fact]
    public void A_factor_without_a_type_is_linear() =>
        Scaling(Model().Add("llama.rope.scaling.factor", 2f)).ShouldBe("""{"rope_type":"linear","factor":2}""");

    [Fact]
    public void Unknown_keys_of_rope_and_attention_are_warned_of()
    {
        var warnings = new List<string>();
        using var heard = ModelWarnings.Listen(warnings.Add);
        Config(Model().Add("llama.rope.freq_base", 1e6f).Add("llama.attention.causal", true)).ShouldNotBeNull();
        warnings.ShouldBeEmpty();
        Config(Model().Add("llama.rope.novel", 2f).Add("llama.attention.sliding_window", 8u).Add("other.rope.x", 1u));
        warnings.ShouldHaveSingleItem().ShouldContain("llama.rope.novel, llama.attention.sliding_window are unknown");
    }

    [Fact]
    public void All_tokens_that_end_a_text_or_a_turn_are_carried()
    {
        var tokens = new[] { "a", "</s>", "<|eot_id|>", "<|im_end|>", "<end_of_turn>", "<|eom_id|>", "z" };
        var model = Model().Add("tokenizer.ggml.tokens", tokens).Add("tokenizer.ggml.token_type", new[] { 1, 3, 3, 3, 1, 4, 3 })
            .Add("tokenizer.ggml.eos_token_id", 1u).Add("tokenizer.ggml.eom_token_id", 6);
        // <end_of_turn> is an ordinary token here.
        Config(model)["eos_token_id"]!.ToJsonString().ShouldBe("[1,6,2,3,5]");
    }

    private JsonObject Config(GgufBuilder builder)
    {
        using var file = GgufFile.Open(folder.Write("x.gguf", builder.Build()));
        return GgufConfig.FromGguf(file);
    }

    private string Scaling(GgufBuilder builder) => Config(builder)["rope_scaling"]!.ToJsonString();

    private void Refused(string reason, GgufBuilder builder)
    {
        var message = Should.Throw<InvalidInputException>(() => Config(builder)).Message;
        message.ShouldContain(reason);
    }
}
