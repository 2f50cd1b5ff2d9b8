using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;

namespace Qbb.Models.Tests.Decoder;

public class DecoderConfigTests
{
    private const string Sizes =
        "\"hidden_size\": 64, \"intermediate_size\": 128, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"vocab_size\": 100";

    private static DecoderConfig Read(string json) => DecoderConfig.FromJson(JsonNode.Parse(json)!.AsObject());

    private static DecoderConfig Read(string modelType, string settings) =>
        Read($$"""{ "model_type": "{{modelType}}", {{Sizes}}{{(settings.Length == 0 ? "" : ", " + settings)}} }""");

    /// <summary>All that was read, the file itself apart.</summary>
    private static string Text(DecoderConfig config) => JsonSerializer.Serialize(config with { Json = [] });

    [Theory]
    [InlineData("llama", "\"rope_theta\": 500000.0", "\"rope_parameters\": { \"rope_type\": \"default\", \"rope_theta\": 500000.0 }")]
    [InlineData("llama", "\"rope_scaling\": null", "\"rope_parameters\": { \"rope_type\": \"default\", \"rope_theta\": 10000.0 }")]
    [InlineData("llama", "\"rope_scaling\": { \"type\": \"linear\", \"factor\": 2 }", "\"rope_parameters\": { \"rope_type\": \"linear\", \"factor\": 2.0, \"rope_theta\": 10000.0 }")]
    [InlineData("llama", "\"rope_scaling\": { \"type\": \"dynamic\", \"factor\": 2.0 }, \"rope_theta\": 5e5", "\"rope_parameters\": { \"rope_type\": \"dynamic\", \"factor\": 2.0, \"rope_theta\": 500000 }")]
    [InlineData("qwen2", "\"num_key_value_heads\": 4, \"rope_scaling\": { \"type\": \"yarn\", \"rope_type\": \"yarn\", \"factor\": 4.0, \"original_max_position_embeddings\": 32768 }, \"rope_theta\": 1e6", "\"num_key_value_heads\": 4, \"rope_parameters\": { \"rope_type\": \"yarn\", \"factor\": 4.0, \"original_max_position_embeddings\": 32768, \"rope_theta\": 1e6 }")]
    [InlineData("llama", "\"rope_scaling\": { \"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 8192 }", "\"rope_parameters\": { \"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 8192 }")]
    [InlineData("phi3", "\"original_max_position_embeddings\": 16, \"partial_rotary_factor\": 0.5, \"rope_scaling\": { \"type\": \"su\", \"short_factor\": [1, 1, 1, 1], \"long_factor\": [2, 2, 2, 2] }", "\"rope_parameters\": { \"rope_type\": \"longrope\", \"partial_rotary_factor\": 0.5, \"original_max_position_embeddings\": 16, \"short_factor\": [1.0, 1.0, 1.0, 1.0], \"long_factor\": [2.0, 2.0, 2.0, 2.0] }")]
    [InlineData("phi", "\"partial_rotary_factor\": 0.25", "\"rope_parameters\": { \"rope_type\": \"default\", \"partial_rotary_factor\": 0.25 }")]
    [InlineData("phi", "", "\"rope_parameters\": { \"rope_type\": \"default\", \"partial_rotary_factor\": 0.5, \"rope_theta\": 10000 }")]
    [InlineData("gpt_neox", "\"rotary_pct\": 0.5, \"rotary_emb_base\": 20000", "\"rope_parameters\": { \"rope_type\": \"default\", \"partial_rotary_factor\": 0.5, \"rope_theta\": 20000.0 }")]
    [InlineData("gpt_neox", "", "\"rope_parameters\": { \"rope_type\": \"default\", \"partial_rotary_factor\": 0.25 }")]
    public void Old_and_new_spelling_are_one_configuration(string modelType, string old, string @new) =>
        Text(Read(modelType, old)).ShouldBe(Text(Read(modelType, @new)));

    [Fact]
    public void Both_spellings_of_GPT2_are_one_configuration() =>
        Text(Read("""{ "model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 32, "vocab_size": 9 }"""))
            .ShouldBe(Text(Read("""{ "model_type": "gpt2", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 32, "vocab_size": 9 }""")));

    [Theory]
    [InlineData("llama", false)]
    [InlineData("mistral", false)]
    [InlineData("qwen2", false)]
    [InlineData("qwen3", false)]
    [InlineData("phi", false)]
    [InlineData("phi3", false)]
    [InlineData("gpt_neox", false)]
    [InlineData("gemma", true)]
    [InlineData("gpt2", true)]
    [InlineData("opt", true)]
    public void Tied_embeddings_default_to_the_family(string modelType, bool tied)
    {
        var extra = modelType == "opt" ? "\"ffn_dim\": 128" : "\"num_key_value_heads\": 4";
        Read(modelType, extra).TiedEmbeddings.ShouldBe(tied);
        Read(modelType, extra + $", \"tie_word_embeddings\": {(tied ? "false" : "true")}").TiedEmbeddings.ShouldBe(!tied);
    }

    [Fact]
    public void Absent_and_null_window_of_Mistral_differ()
    {
        Read("mistral", "\"num_key_value_heads\": 4").Windows.ShouldBe([4096, 4096]);
        Read("mistral", "\"num_key_value_heads\": 4, \"sliding_window\": null").Windows.ShouldBe([null, null]);
    }

    [Theory]
    [InlineData("\"hidden_act\": \"gelu\"", Activation.GeluTanh)]
    [InlineData("\"hidden_act\": \"gelu_pytorch_tanh\"", Activation.GeluTanh)]
    [InlineData("\"hidden_act\": \"gelu\", \"hidden_activation\": null", Activation.GeluTanh)]
    [InlineData("\"hidden_act\": \"gelu_pytorch_tanh\", \"hidden_activation\": \"gelu\"", Activation.Gelu)]
    [InlineData("\"hidden_act\": \"relu\"", Activation.Relu)]
    public void Activation_of_Gemma_follows_its_two_keys(string settings, Activation expected) =>
        Read("gemma", "\"num_key_value_heads\": 4, " + settings).Activation.ShouldBe(expected);

    [Fact]
    public void Window_of_Qwen_needs_its_switch()
    {
        Read("qwen2", "\"num_key_value_heads\": 4, \"sliding_window\": 8, \"max_window_layers\": 0").Windows.ShouldBe([null, null]);
        Read("qwen2", "\"num_key_value_heads\": 4, \"use_sliding_window\": true, \"sliding_window\": 8, \"max_window_layers\": 1").Windows.ShouldBe([null, 8]);
    }

    [Fact]
    public void Model_type_can_follow_from_the_architecture() =>
        Read($$"""{ "architectures": ["LlamaForCausalLM"], {{Sizes}} }""").ModelType.ShouldBe("llama");

    [Theory]
    [InlineData("mamba", "", "known are llama, mistral, qwen2, qwen3, gemma, phi, phi3, gpt_neox, gpt2, opt")]
    [InlineData("llama", "\"architectures\": [\"LlamaForSequenceClassification\"]", "LlamaForSequenceClassification")]
    [InlineData("llama", "\"rope_scaling\": { \"rope_type\": \"mrope\", \"factor\": 2 }", "mrope")]
    [InlineData("llama", "\"rope_scaling\": { \"rope_type\": \"linear\" }", "factor")]
    [InlineData("llama", "\"rope_scaling\": { \"rope_type\": \"longrope\", \"factor\": 2, \"short_factor\": [1], \"long_factor\": [1] }", "short_factor")]
    [InlineData("llama", "\"partial_rotary_factor\": 0.5", "partial_rotary_factor")]
    [InlineData("llama", "\"num_local_experts\": 8", "num_local_experts")]
    [InlineData("llama", "\"hidden_act\": \"mish\"", "mish")]
    [InlineData("llama", "\"num_key_value_heads\": 3", "num_key_value_heads")]
    [InlineData("llama", "\"head_dim\": 0", "head_dim")]
    [InlineData("llama", "\"head_dim\": 15", "15 of 15")]
    [InlineData("llama", "\"rms_norm_eps\": \"small\"", "rms_norm_eps")]
    [InlineData("llama", "\"max_position_embeddings\": 1e300", "max_position_embeddings")]
    [InlineData("llama", "\"max_position_embeddings\": 10.5", "max_position_embeddings")]
    [InlineData("llama", "\"tie_word_embeddings\": 1", "tie_word_embeddings")]
    [InlineData("gemma", "\"num_key_value_heads\": 4, \"use_bidirectional_attention\": true", "use_bidirectional_attention")]
    [InlineData("qwen3", "\"num_key_value_heads\": 4, \"layer_types\": [\"sliding_attention\", \"full_attention\"]", "layer_types")]
    [InlineData("qwen3", "\"num_key_value_heads\": 4, \"layer_types\": [\"full_attention\"]", "layer_types")]
    [InlineData("qwen3", "\"num_key_value_heads\": 4, \"layer_types\": [\"linear_attention\", \"full_attention\"]", "linear_attention")]
    [InlineData("llama", "\"rope_interleaved\": true", "rope_interleaved")]
    [InlineData("gpt2", "\"add_cross_attention\": true", "add_cross_attention")]
    public void What_is_not_supported_is_refused_by_name(string modelType, string settings, string named) =>
        Should.Throw<InvalidInputException>(() => Read(modelType, settings)).Message.ShouldContain(named);

    [Theory]
    [InlineData("{ \"rope_type\": \"yarn\", \"factor\": 2, \"attn_factor\": 0.5, \"mrope_section\": [1] }", "attn_factor, mrope_section have no effect with rope type yarn")]
    [InlineData("{ \"rope_type\": \"linear\", \"factor\": 2, \"beta_fast\": 8 }", "beta_fast has no effect with rope type linear")]
    [InlineData("{ \"factor\": 2, \"novel\": {} }", "factor, novel have no effect with rope type default")]
    public void Rotary_settings_without_effect_are_warned_of(string scaling, string warning)
    {
        var warnings = new List<string>();
        using var heard = ModelWarnings.Listen(warnings.Add);
        Read("llama", $"\"rope_scaling\": {scaling}").ModelType.ShouldBe("llama");
        warnings.ShouldHaveSingleItem().ShouldContain(warning);
    }

    [Fact]
    public void Gemma_3_is_read_in_its_older_spelling()
    {
        var config = Read("gemma3_text", "\"num_key_value_heads\": 2, \"sliding_window\": 8, \"sliding_window_pattern\": 2, \"rope_local_base_freq\": 5000, "
            + "\"rope_scaling\": { \"rope_type\": \"linear\", \"factor\": 8 }");
        config.Windows.ShouldBe([8, null]);
        (config.Rope!.Theta, config.Rope.Kind, config.Rope.Factor).ShouldBe((1_000_000, RopeKind.Linear, 8));
        (config.LocalRope!.Theta, config.LocalRope.Kind).ShouldBe((5000, RopeKind.Default));
        (config.AttentionSoftCap, config.QkNorm, config.HasUsualAttention).ShouldBe((null, QkNorm.Rms, false));
    }

    [Fact]
    public void Absent_settings_of_the_newer_families_are_those_of_transformers()
    {
        var gemma = Read("gemma2", "\"num_key_value_heads\": 2, \"final_logit_softcapping\": null");
        (gemma.AttentionSoftCap, gemma.LogitSoftCap, gemma.HeadDimension).ShouldBe((50, null, 256));
        gemma.Windows.ShouldBe([4096, null]);
        var smol = Read("smollm3", "\"num_key_value_heads\": 2, \"no_rope_layer_interval\": 2");
        smol.Rotates.ShouldBe([true, false]);
        smol.Rope!.Theta.ShouldBe(2_000_000);
    }

    [Fact]
    public void Numbers_are_read_in_any_form_and_biases_under_the_older_name()
    {
        var config = Read("llama", "\"rms_norm_eps\": \"1e-06\", \"max_position_embeddings\": \"2048\", \"head_dim\": 16.0, \"rope_theta\": 5e5, \"bias\": true");
        (config.NormEpsilon, config.MaxPositions, config.HeadDimension, config.Rope!.Theta).ShouldBe((1e-6, 2048, 16, 500_000));
        (config.QkvBias, config.AttentionOutputBias, config.MlpBias).ShouldBe((true, true, false));
    }

    [Theory]
    [InlineData("hidden_size")]
    [InlineData("intermediate_size")]
    [InlineData("num_hidden_layers")]
    [InlineData("num_attention_heads")]
    [InlineData("vocab_size")]
    public void A_missing_or_impossible_size_is_named(string key)
    {
        foreach (var value in new JsonNode?[] { null, 0, -1, "x", 1L << 40 })
        {
            var json = JsonNode.Parse($$"""{ "model_type": "llama", {{Sizes}} }""")!.AsObject();
            json[key] = value?.DeepClone();
            Should.Throw<InvalidInputException>(() => DecoderConfig.FromJson(json)).Message.ShouldContain(key);
        }
    }

    [Fact]
    public void More_blocks_than_any_model_has_are_refused() =>
        Should.Throw<InvalidInputException>(() => Read($$"""{ "model_type": "llama", {{Sizes.Replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 400000000")}} }"""))
            .Message.ShouldContain("num_hidden_layers");

    [Fact]
    public void Our_own_quantization_is_read() =>
        Read("llama", "\"quantization_config\": { \"quant_method\": \"qbb\" }").ModelType.ShouldBe("llama");
}
