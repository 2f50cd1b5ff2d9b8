using System.Text.Json.Nodes;

namespace Qbb.Models.Decoder;

/// <summary>
/// From config.json to <see cref="DecoderConfig"/>: which family it is, what no family here can do, whether the sizes fit one another.
/// </summary>
internal static class DecoderConfigReader
{
    private static readonly Dictionary<string, string> ModelTypeOfArchitecture = new()
    {
        ["LlamaForCausalLM"] = "llama",
        ["MistralForCausalLM"] = "mistral",
        ["Qwen2ForCausalLM"] = "qwen2",
        ["Qwen3ForCausalLM"] = "qwen3",
        ["GemmaForCausalLM"] = "gemma",
        ["PhiForCausalLM"] = "phi",
        ["Phi3ForCausalLM"] = "phi3",
        ["GPTNeoXForCausalLM"] = "gpt_neox",
        ["GPT2LMHeadModel"] = "gpt2",
        ["OPTForCausalLM"] = "opt",
        ["Gemma2ForCausalLM"] = "gemma2",
        ["Gemma3ForCausalLM"] = "gemma3_text",
        ["SmolLM3ForCausalLM"] = "smollm3",
        ["GraniteForCausalLM"] = "granite",
        ["Olmo2ForCausalLM"] = "olmo2",
        ["Starcoder2ForCausalLM"] = "starcoder2",
    };

    private static readonly string[] ExpertKeys = ["num_local_experts", "num_experts", "n_routed_experts", "num_experts_per_tok"];

    public static IReadOnlyList<string> KnownModelTypes { get; } = [.. DecoderFamilies.Readers.Keys];

    public static DecoderConfig Read(JsonObject json)
    {
        var config = new ConfigValues(json, "config.json");
        var modelType = ModelType(config);
        RefuseForeignSettings(config);
        var decoder = DecoderFamilies.Readers[modelType](config) with { Json = json };
        return Validate(decoder);
    }

    private static string ModelType(ConfigValues config)
    {
        var architecture = config.Texts("architectures")?.FirstOrDefault();
        var modelType = config.Text("model_type") ?? (architecture is null ? null : ModelTypeOfArchitecture.GetValueOrDefault(architecture, architecture));
        if (modelType is null || !DecoderFamilies.Readers.ContainsKey(modelType))
        {
            throw new InvalidInputException(
                $"config.json: model type {(modelType is null ? "is missing" : $"'{modelType}' is unknown")}; known are {string.Join(", ", KnownModelTypes)}");
        }
        if (architecture is not null && !architecture.EndsWith("ForCausalLM", StringComparison.Ordinal) && !architecture.EndsWith("Model", StringComparison.Ordinal))
            throw new InvalidInputException($"config.json: architecture '{architecture}' has no language-model head; known are {string.Join(", ", ModelTypeOfArchitecture.Keys)}");
        return modelType;
    }

    private static void RefuseForeignSettings(ConfigValues config)
    {
        foreach (var key in ExpertKeys)
        {
            if (config.OptionalNumber(key) is > 0)
                throw config.Unsupported(key, "mixtures of experts are not supported");
        }
        if (config.Flag("add_cross_attention", false))
            throw config.Unsupported("add_cross_attention", "only decoder-only models are supported");
        if (config.Flag("is_encoder_decoder", false))
            throw config.Unsupported("is_encoder_decoder", "only decoder-only models are supported");
        if (config.Flag("rope_interleaved", false))
            throw config.Unsupported("rope_interleaved", "rotary pairs are the two halves of a head");
        if (config.Flag("use_bidirectional_attention", false))
            throw config.Unsupported("use_bidirectional_attention", "attention is causal");
    }

    private static DecoderConfig Validate(DecoderConfig decoder)
    {
        if (decoder.HeadCount % decoder.KeyValueHeadCount != 0)
            throw new InvalidInputException($"config.json: num_attention_heads {decoder.HeadCount} is not a multiple of num_key_value_heads {decoder.KeyValueHeadCount}");
        if ((long)decoder.HeadCount * decoder.HeadDimension > int.MaxValue / 4)
            throw new InvalidInputException($"config.json: {decoder.HeadCount} heads of {decoder.HeadDimension} are more than any model has");
        return decoder;
    }
}
