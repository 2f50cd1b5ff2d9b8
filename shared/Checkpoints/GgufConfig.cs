using System.Text.Json.Nodes;

namespace Qbb.Checkpoints;

/// <summary>Says what a GGUF file says of its model in the words of Hugging Face's <c>config.json</c>.</summary>
public static class GgufConfig
{
    // Models of other families are sometimes written under a known architecture with these set; they would compute something else.
    private static readonly string[] UnknownFactors =
        ["attention.scale", "embedding_scale", "residual_scale", "logit_scale", "attention.clamp_kqv"];

    /// <exception cref="InvalidInputException">The architecture is not known, or metadata are missing, contradict the tensors or ask for
    /// what is not known.</exception>
    public static JsonObject FromGguf(GgufFile file)
    {
        var architecture = GgufArchitecture.Of(file);
        var parameters = new GgufParameters(file, architecture);
        CheckNoUnknownFactors(file, parameters);
        var hidden = parameters.Required("embedding_length");
        var headDim = HeadDim(file, parameters, hidden);
        var context = parameters.Required("context_length");
        var theta = parameters.Number("rope.freq_base") ?? 10000;
        if (theta <= 0)
            throw new InvalidInputException($"{file.Path}: metadata {architecture.Name}.rope.freq_base is {theta}; it must be positive");
        var config = new JsonObject
        {
            ["architectures"] = new JsonArray(architecture.ClassName),
            ["model_type"] = architecture.ModelType,
            ["hidden_act"] = "silu",
            ["hidden_size"] = hidden,
            ["intermediate_size"] = parameters.Required("feed_forward_length"),
            ["num_hidden_layers"] = parameters.Required("block_count"),
            ["num_attention_heads"] = parameters.Heads,
            ["num_key_value_heads"] = parameters.KeyValueHeads,
            ["head_dim"] = headDim,
            ["vocab_size"] = VocabularySize(file, hidden),
            ["max_position_embeddings"] = context,
            ["rms_norm_eps"] = parameters.Number("attention.layer_norm_rms_epsilon")
                ?? throw new InvalidInputException(
                    $"{file.Path}: has no metadata {architecture.Name}.attention.layer_norm_rms_epsilon; the file is incomplete"),
            ["rope_theta"] = theta,
            ["rope_scaling"] = GgufRope.Scaling(file, parameters, headDim, theta, context),
            ["tie_word_embeddings"] = !file.Contains("output.weight"),
            ["attention_bias"] = architecture.ModelType != "qwen2" && HasBias(file, ".attn_"),
            ["mlp_bias"] = HasBias(file, ".ffn_"),
            ["torch_dtype"] = DataType(file),
        };
        AddTokenId(config, file, "bos_token_id", "tokenizer.ggml.bos_token_id");
        AddTokenId(config, file, "eos_token_id", "tokenizer.ggml.eos_token_id");
        AddTokenId(config, file, "pad_token_id", "tokenizer.ggml.padding_token_id");
        return config;
    }

    private static bool HasBias(GgufFile file, string part) =>
        file.Entries.Any(entry => entry.Name.EndsWith(".bias", StringComparison.Ordinal) && entry.Name.Contains(part, StringComparison.Ordinal));

    private static void CheckNoUnknownFactors(GgufFile file, GgufParameters parameters)
    {
        foreach (var key in UnknownFactors)
        {
            if (parameters.Number(key) is not (null or 0 or 1))
                throw new InvalidInputException(
                    $"{file.Path}: metadata {key} is {parameters.Number(key)}, which is not known for this architecture; give the model "
                        + "as a Hugging Face folder");
        }
        if (file.Metadata.TryGetValue("split.count", out var pieces) && pieces is ulong and not (0ul or 1ul))
            throw new InvalidInputException(
                $"{file.Path}: is one of {pieces} pieces of a model; join them with llama.cpp's llama-gguf-split --merge");
    }

    private static int HeadDim(GgufFile file, GgufParameters parameters, int hidden)
    {
        var rotary = parameters.Size("rope.dimension_count");
        var headDim = parameters.Size("attention.key_length") ?? rotary ?? hidden / parameters.Heads;
        if (rotary is { } rotated && rotated != headDim)
            throw new InvalidInputException(
                $"{file.Path}: rotates {rotated} of {headDim} elements of a head; only whole heads are known for this architecture");
        if (parameters.Size("attention.value_length") is { } value && value != headDim)
            throw new InvalidInputException(
                $"{file.Path}: has keys of {headDim} and values of {value}; only equal lengths are known for this architecture");
        if (headDim % 2 != 0 || headDim == 0)
            throw new InvalidInputException($"{file.Path}: heads of {headDim} elements cannot be rotated in pairs");
        return headDim;
    }

    private static long VocabularySize(GgufFile file, int hidden)
    {
        const string name = "token_embd.weight";
        if (!file.Contains(name))
            throw new InvalidInputException($"{file.Path}: has no tensor {name}; it is no whole model");
        var shape = file.Describe(name).Shape;
        if (shape.Count != 2 || shape[1] != hidden)
            throw new InvalidInputException(
                $"{file.Path}: tensor {name} has shape [{string.Join(", ", shape)}], which disagrees with the hidden size {hidden} of "
                    + "the metadata");
        return shape[0];
    }

    /// <summary>The 16-bit type that holds most of the weights, else float32: what quantised blocks become.</summary>
    private static string DataType(GgufFile file)
    {
        var largest = file.Entries.GroupBy(entry => entry.Type).MaxBy(group => group.Sum(entry => entry.Count))?.Key;
        return largest switch { "F16" => "float16", "BF16" => "bfloat16", _ => "float32" };
    }

    private static void AddTokenId(JsonObject config, GgufFile file, string name, string key)
    {
        if (file.Metadata.TryGetValue(key, out var value) && value is ulong id && id < int.MaxValue)
            config[name] = (int)id;
    }
}
