using System.Collections.Frozen;
using System.Text.Json.Nodes;

namespace Qbb.Checkpoints;

/// <summary>Says what a GGUF file says of its model in the words of Hugging Face's <c>config.json</c>.</summary>
public static class GgufConfig
{
    // Values of tokenizer.ggml.token_type.
    private const int Control = 3;
    private const int UserDefined = 4;

    // Models of other families are sometimes written under a known architecture with these set; they would compute something else.
    private static readonly string[] UnknownFactors =
        ["attention.scale", "embedding_scale", "residual_scale", "logit_scale", "attention.clamp_kqv"];

    private static readonly string[] s_prefixes = ["rope.", "attention."];

    private static readonly FrozenSet<string> s_knownKeys = new[]
    {
        "rope.dimension_count", "rope.freq_base", "rope.scale_linear", "rope.scaling.type", "rope.scaling.factor",
        "rope.scaling.original_context_length", "rope.scaling.attn_factor", "rope.scaling.finetuned", "rope.scaling.yarn_attn_factor",
        "rope.scaling.yarn_ext_factor", "rope.scaling.yarn_log_multiplier", "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow",
        "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length", "attention.causal",
        "attention.scale", "attention.clamp_kqv",
    }.ToFrozenSet(StringComparer.Ordinal);

    /// <summary>Control tokens that end a turn or a text, whichever of them the file names as its end of text.</summary>
    private static readonly FrozenSet<string> s_ends = new[]
    {
        "<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>", "_<EOT>", "[EOT]",
        "[EOS]", "<|return|>", "<|call|>", "<end_of_utterance>", "<\uFF5Cend\u2581of\u2581sentence\uFF5C>",
    }.ToFrozenSet(StringComparer.Ordinal);

    /// <summary>The sizes that the first bytes of a file tell, as <c>config.json</c> names them; null where they tell none.</summary>
    /// <param name="start">From the first byte; as long as its metadata, a tokenizer's words included.</param>
    public static JsonObject? SizesOf(byte[] start)
    {
        try
        {
            var metadata = GgufHeader.MetadataOf(new FirstBytes(start));
            var architecture = metadata.GetValueOrDefault("general.architecture") as string;
            int? Find(string key) => metadata.GetValueOrDefault($"{architecture}.{key}") is ulong and <= int.MaxValue and var size ? (int)(ulong)size : null;
            return new JsonObject
            {
                ["num_hidden_layers"] = Find("block_count"),
                ["hidden_size"] = Find("embedding_length"),
                ["intermediate_size"] = Find("feed_forward_length"),
                ["num_attention_heads"] = Find("attention.head_count"),
                ["num_key_value_heads"] = Find("attention.head_count_kv"),
                ["head_dim"] = Find("attention.key_length"),
                ["vocab_size"] = (metadata.GetValueOrDefault("tokenizer.ggml.tokens") as System.Collections.ICollection)?.Count ?? Find("vocab_size"),
                ["max_position_embeddings"] = Find("context_length"),
            };
        }
        catch (InvalidInputException)
        {
            return null;
        }
    }

    private sealed class FirstBytes(byte[] bytes) : IReadableBytes
    {
        public string Path => "the start of the file";

        public long Length => bytes.Length;

        public ReadOnlySpan<byte> Slice(long offset, int length) => bytes.AsSpan((int)offset, length);
    }

    /// <exception cref="InvalidInputException">The architecture is not known, or metadata are missing, contradict the tensors or ask for
    /// what is not known.</exception>
    public static JsonObject FromGguf(GgufFile file)
    {
        var architecture = GgufArchitecture.Of(file);
        var parameters = new GgufParameters(file, architecture);
        CheckNoUnknownFactors(file, architecture, parameters);
        WarnOfUnknownKeys(file, architecture);
        var hidden = parameters.Required("embedding_length");
        var (headDim, rotated) = HeadDim(file, architecture, parameters, hidden);
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
            [architecture.EpsilonName] = parameters.Number(architecture.EpsilonKey)
                ?? throw new InvalidInputException($"{file.Path}: has no metadata {architecture.Name}.{architecture.EpsilonKey}; the file is incomplete"),
            ["rope_theta"] = theta,
            ["rope_scaling"] = GgufRope.Scaling(file, parameters, rotated, theta, context),
            ["tie_word_embeddings"] = !file.Contains("output.weight"),
            ["attention_bias"] = architecture.ModelType != "qwen2" && HasBias(file, ".attn_"),
            ["mlp_bias"] = HasBias(file, ".ffn_"),
            ["torch_dtype"] = DataType(file),
        };
        if (rotated != headDim)
            config["partial_rotary_factor"] = (double)rotated / headDim;
        GgufFamilies.Complete(config, file, architecture, parameters);
        AddTokenId(config, file, "bos_token_id", "tokenizer.ggml.bos_token_id");
        if (StopIds(file) is { Count: > 0 } ends)
            config["eos_token_id"] = ends.Count == 1 ? ends[0] : new JsonArray([.. ends.Select(id => (JsonNode)id)]);
        AddTokenId(config, file, "pad_token_id", "tokenizer.ggml.padding_token_id");
        return config;
    }

    private static bool HasBias(GgufFile file, string part) =>
        file.Entries.Any(entry => entry.Name.EndsWith(".bias", StringComparison.Ordinal) && entry.Name.Contains(part, StringComparison.Ordinal));

    private static void CheckNoUnknownFactors(GgufFile file, GgufArchitecture architecture, GgufParameters parameters)
    {
        foreach (var key in architecture.Name == "granite" ? ["attention.clamp_kqv"] : UnknownFactors)
        {
            if (parameters.Number(key) is not (null or 0 or 1))
                throw new InvalidInputException(
                    $"{file.Path}: metadata {key} is {parameters.Number(key)}, which is not known for this architecture; give the model "
                        + "as a Hugging Face folder");
        }
        if (parameters.Number("expert_count") is > 0)
            throw new InvalidInputException($"{file.Path}: metadata expert_count is {parameters.Number("expert_count")}: mixtures of experts are not supported");
        if (parameters.Flag("attention.causal") == false)
            throw new InvalidInputException($"{file.Path}: metadata attention.causal is false: only causal attention is supported");
    }

    private static void WarnOfUnknownKeys(GgufFile file, GgufArchitecture architecture)
    {
        string[] unknown = [.. file.Metadata.Keys
            .Where(key => s_prefixes.Any(prefix => key.StartsWith($"{architecture.Name}.{prefix}", StringComparison.Ordinal)))
            .Where(key => key[(architecture.Name.Length + 1)..] is var name && !s_knownKeys.Contains(name) && !architecture.Keys.Contains(name) && name != architecture.EpsilonKey)];
        if (unknown.Length > 0)
            ModelWarnings.Report($"{file.Path}: the metadata {ModelWarnings.Some(unknown)} are unknown for this architecture and ignored");
    }

    private static (int HeadDim, int Rotated) HeadDim(GgufFile file, GgufArchitecture architecture, GgufParameters parameters, int hidden)
    {
        var rotary = parameters.Size("rope.dimension_count");
        var headDim = parameters.Size("attention.key_length") ?? (architecture.RotatesPart ? null : rotary) ?? hidden / parameters.Heads;
        if (rotary is { } rotated && (architecture.RotatesPart ? rotated > headDim || rotated % 2 != 0 : rotated != headDim))
            throw new InvalidInputException(
                $"{file.Path}: rotates {rotated} of {headDim} elements of a head; {(architecture.RotatesPart ? "that is impossible" : "only whole heads are known for this architecture")}");
        if (parameters.Size("attention.value_length") is { } value && value != headDim)
            throw new InvalidInputException(
                $"{file.Path}: has keys of {headDim} and values of {value}; only equal lengths are known for this architecture");
        if (headDim % 2 != 0 || headDim == 0)
            throw new InvalidInputException($"{file.Path}: heads of {headDim} elements cannot be rotated in pairs");
        return (headDim, architecture.RotatesPart ? rotary ?? headDim : headDim);
    }

    private static long VocabularySize(GgufFile file, int hidden)
    {
        const string name = "token_embd.weight";
        if (!file.Contains(name))
            throw new InvalidInputException($"{file.Path}: has no tensor {name}; it is not a complete model");
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

    /// <summary>The end of text first, then the ends of turns and messages that have keys, then the control tokens known to be such.</summary>
    private static List<int> StopIds(GgufFile file)
    {
        var named = new[] { "eos", "eot", "eom" }.Select(name => TokenId(file, $"tokenizer.ggml.{name}_token_id")).OfType<int>();
        var tokens = file.Metadata.GetValueOrDefault("tokenizer.ggml.tokens") as string[] ?? [];
        var types = file.Metadata.GetValueOrDefault("tokenizer.ggml.token_type") as int[] ?? [];
        var known = Enumerable.Range(0, Math.Min(tokens.Length, types.Length)).Where(id => types[id] is Control or UserDefined && s_ends.Contains(tokens[id]));
        return [.. named.Concat(known).Distinct()];
    }

    private static int? TokenId(GgufFile file, string key) => file.Metadata.GetValueOrDefault(key) switch
    {
        ulong id when id < int.MaxValue => (int)id,
        long id and >= 0 and < int.MaxValue => (int)id,
        _ => null,
    };

    private static void AddTokenId(JsonObject config, GgufFile file, string name, string key)
    {
        if (TokenId(file, key) is { } id)
            config[name] = id;
    }
}
