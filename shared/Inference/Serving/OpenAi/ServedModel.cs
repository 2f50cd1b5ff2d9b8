using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Inference.Templates;
using Qbb.Models.Generation;
using Qbb.Models.Tokenizers;

namespace Qbb.Inference.Serving.OpenAi;

/// <summary>The model behind the API: what its requests are read with.</summary>
public sealed class ServedModel
{
    private const int UsualTokens = 16;
    private const int MostChoices = 128;
    private const int MostLogprobs = 20;
    private const int MostStops = 4;

    private static readonly string[] s_ignored = ["user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "parallel_tool_calls"];

    /// <summary>By which requests name it.</summary>
    public required string Name { get; init; }

    public required Tokenizer Tokenizer { get; init; }

    public required int VocabularySize { get; init; }

    public required ServingLimits Limits { get; init; }

    /// <summary>Null for a model without chat template.</summary>
    public ChatPrompt? Chat { get; init; }

    /// <summary>The tokens at which a text ends.</summary>
    public IReadOnlyCollection<int> StopIds { get; init; } = [];

    /// <summary>What applies where a request does not say.</summary>
    public GenerationSettings Defaults { get; init; } = new();

    /// <summary>Bases of the smaller model that answers under load; null where there is none.</summary>
    public int? DegradedBases { get; init; }

    /// <summary>Unix time in seconds.</summary>
    public long Created { get; init; }

    /// <summary>The version in a registry; null for a model that has none.</summary>
    public int? Version { get; init; }

    /// <param name="source">The model's files.</param>
    /// <param name="tokenizer">Its tokenizer.</param>
    /// <param name="name">By which requests name it.</param>
    /// <param name="vocabulary">Of its logits.</param>
    /// <param name="limits">What the server takes on.</param>
    /// <param name="useGenerationConfig">Take defaults from the model's generation settings, and not OpenAI's.</param>
    /// <param name="degradedBases">Bases of the smaller model that answers under load; null for none.</param>
    /// <param name="version">In a registry; null for none.</param>
    /// <exception cref="InvalidInputException">One of the files is damaged, or there are no such settings.</exception>
    public static ServedModel Of(ModelSource source, Tokenizer tokenizer, string name, int vocabulary, ServingLimits limits, bool useGenerationConfig, int? degradedBases = null, int? version = null) => new()
    {
        Name = name,
        Tokenizer = tokenizer,
        VocabularySize = vocabulary,
        Limits = limits,
        Chat = ChatPrompt.Find(source, tokenizer),
        DegradedBases = degradedBases,
        Version = version,
        StopIds = Models.Generation.StopIds.Of(source),
        Defaults = useGenerationConfig ? GenerationSettings.Of(source) : new(),
        Created = new DateTimeOffset(Directory.Exists(source.Path) ? Directory.GetLastWriteTimeUtc(source.Path) : File.GetLastWriteTimeUtc(source.Path)).ToUnixTimeSeconds(),
    };

    /// <summary>Reads a request of /v1/completions.</summary>
    /// <exception cref="ApiException">Something of it is wrong.</exception>
    internal Reading ReadCompletion(JsonObject body)
    {
        var fields = new RequestFields(body);
        var (stream, usage) = ReadAlike(fields);
        var prompts = Prompts(fields.Value("prompt"));
        var echo = fields.Flag("echo") ?? false;
        var logprobs = (int?)fields.Integer("logprobs", 0, MostLogprobs);
        if (echo && logprobs is not null)
            throw ApiException.Invalid("echo", "echo with logprobs is not supported by this server.", "unsupported_parameter");
        var choices = Choices(fields);
        fields.Refuse("best_of", node => node.GetValueKind() == JsonValueKind.Number && node.GetValue<JsonElement>().GetDouble() == choices);
        fields.Refuse("suffix", node => node.GetValueKind() == JsonValueKind.String && node.GetValue<string>().Length == 0);
        var longest = prompts.Max(prompt => prompt.Length);
        var tokens = Tokens(fields.Integer("max_tokens", 1, int.MaxValue) ?? Math.Clamp(Limits.Context - longest, 1, UsualTokens), longest, "prompt");
        var template = ReadSampling(fields, choices, StopIds) with { Logprobs = logprobs };
        fields.End();
        return new([.. prompts.Select(prompt => template with { Prompt = prompt, Options = template.Options with { MaxTokens = tokens } })], stream, usage, echo);
    }

    /// <summary>Reads a request of /v1/chat/completions.</summary>
    /// <exception cref="ApiException">Something of it is wrong.</exception>
    internal Reading ReadChat(JsonObject body)
    {
        var fields = new RequestFields(body);
        var (stream, usage) = ReadAlike(fields);
        fields.Refuse("tools", node => node is JsonArray { Count: 0 });
        fields.Refuse("functions", node => node is JsonArray { Count: 0 });
        fields.Refuse("tool_choice", node => node is JsonValue && node.ToString() is "none" or "auto");
        fields.Refuse("function_call", node => node is JsonValue && node.ToString() is "none" or "auto");
        fields.Refuse("response_format", node => node is JsonObject format && $"{format["type"]}" == "text");
        fields.Refuse("modalities", node => node is JsonArray { Count: 1 } list && $"{list[0]}" == "text");
        foreach (var name in (string[])["audio", "prediction", "web_search_options", "reasoning_effort", "verbosity"])
            fields.Refuse(name, _ => false);
        var choices = Choices(fields);
        var wanted = fields.Flag("logprobs") ?? false;
        var top = (int?)fields.Integer("top_logprobs", 0, MostLogprobs);
        if (top is not null && !wanted)
            throw ApiException.Invalid("top_logprobs", "top_logprobs needs logprobs to be true.");
        if (Chat is null)
            throw ApiException.Invalid("model", $"The model {Name} has no chat template: use /v1/completions.", "no_chat_template");
        var prompt = Conversation(fields.Value("messages"));
        var limit = fields.Integer("max_completion_tokens", 1, int.MaxValue) ?? fields.Integer("max_tokens", 1, int.MaxValue);
        fields.Ignore("max_tokens");
        var tokens = Tokens(limit ?? Math.Max(1, Limits.Context - prompt.Length), prompt.Length, "messages");
        var template = ReadSampling(fields, choices, Chat.StopIds);
        fields.End();
        return new([template with { Prompt = prompt, Logprobs = wanted ? top ?? 0 : null, Options = template.Options with { MaxTokens = tokens } }], stream, usage, false);
    }

    private (bool Stream, bool Usage) ReadAlike(RequestFields fields)
    {
        if (fields.Text("model") is { } name && name != Name)
            throw new ApiException(404, $"The model '{name}' does not exist; this server has {Name}.", "model", "model_not_found");
        fields.Ignore(s_ignored);
        var stream = fields.Flag("stream") ?? false;
        var options = fields.Object("stream_options");
        if (options is not null && !stream)
            throw ApiException.Invalid("stream_options", "stream_options needs stream to be true.");
        var usage = options?.Flag("include_usage") ?? false;
        options?.Ignore("include_obfuscation");
        options?.End();
        return (stream, usage);
    }

    private int Choices(RequestFields fields)
    {
        var choices = (int)(fields.Integer("n", 1, MostChoices) ?? 1);
        return choices <= Limits.Parallel ? choices
            : throw ApiException.Invalid("n", $"n is {choices}; this server decodes {Limits.Parallel} sequences at the same time.");
    }

    private ServingRequest ReadSampling(RequestFields fields, int choices, IReadOnlyCollection<int> stopIds)
    {
        var options = new GenerationOptions
        {
            Temperature = fields.Number("temperature", 0, 2) ?? Defaults.Temperature ?? 1,
            TopP = fields.Number("top_p", 0, 1) ?? Defaults.TopP ?? 1,
            TopK = (int)(fields.Integer("top_k", -1, int.MaxValue) ?? Defaults.TopK ?? 0),
            MinP = fields.Number("min_p", 0, 1) ?? Defaults.MinP ?? 0,
            RepetitionPenalty = fields.Number("repetition_penalty", 0.01, 100) ?? Defaults.RepetitionPenalty ?? 1,
            StopIds = fields.Flag("ignore_eos") == true ? [] : stopIds,
        };
        // 0 and -1 are other servers' ways to leave an option out.
        options = options with { TopK = Math.Max(0, options.TopK), TopP = options.TopP == 0 ? double.Epsilon : options.TopP };
        options.Validate();
        return new()
        {
            Prompt = [],
            Choices = choices,
            Options = options,
            Seed = fields.Integer("seed", long.MinValue, long.MaxValue) is { } seed ? (ulong)seed : (ulong)Random.Shared.NextInt64(),
            Stops = fields.Texts("stop", MostStops),
            FrequencyPenalty = fields.Number("frequency_penalty", -2, 2) ?? 0,
            PresencePenalty = fields.Number("presence_penalty", -2, 2) ?? 0,
            Bias = fields.Biases("logit_bias", VocabularySize),
            MayDegrade = fields.Flag("degrade") ?? true,
        };
    }

    private int Tokens(long wanted, int prompt, string parameter) => prompt + wanted <= Limits.Context ? (int)wanted
        : throw ApiException.Invalid(parameter,
            $"This model's maximum context length is {Limits.Context} tokens. However, you requested {prompt + wanted} tokens ({prompt} in the {parameter}, {wanted} in the completion). "
            + $"Please reduce the length of the {parameter} or completion.", "context_length_exceeded");

    /// <summary>A text, several, a list of token ids, or several.</summary>
    private int[][] Prompts(JsonNode? node)
    {
        int[][] prompts = node switch
        {
            JsonArray { Count: > 0 } list when IsIds(list) => [Ids(list)],
            JsonArray { Count: > 0 and <= MostChoices } list => [.. list.Select(item => item is JsonArray { Count: > 0 } ids && IsIds(ids) ? Ids(ids) : Encoded(item))],
            JsonArray { Count: > MostChoices } => throw ApiException.Invalid("prompt", $"prompt is a list of more than {MostChoices}."),
            null => throw ApiException.Invalid("prompt", "prompt is missing.", "missing_required_parameter"),
            _ => [Encoded(node)],
        };
        return prompts.Length <= Limits.Queue + Limits.Parallel ? prompts
            : throw ApiException.Invalid("prompt", $"prompt is a list of {prompts.Length}; this server takes {Limits.Queue + Limits.Parallel} at once.");

        int[] Encoded(JsonNode? item)
        {
            if (item?.GetValueKind() != JsonValueKind.String)
                throw RequestFields.Wrong("prompt", "a string, a list of token ids, or a list of these");
            return Known(Tokenizer.Encode(item.GetValue<string>()), "prompt");
        }

        int[] Ids(JsonArray list) => Known([.. list.Select(id => id!.GetValue<JsonElement>().TryGetInt32(out var number) ? number : -1)], "prompt");
        static bool IsIds(JsonArray list) => list.All(id => id?.GetValueKind() == JsonValueKind.Number);
    }

    private int[] Known(int[] ids, string parameter)
    {
        if (ids.Length == 0)
            throw ApiException.Invalid(parameter, $"{parameter} has no tokens.");
        return ids.All(id => id >= 0 && id < VocabularySize) ? ids
            : throw ApiException.Invalid(parameter, $"{parameter} has a token outside the vocabulary of {VocabularySize}.");
    }

    private int[] Conversation(JsonNode? node)
    {
        if (node is not JsonArray { Count: > 0 } given)
            throw node is null ? ApiException.Invalid("messages", "messages is missing.", "missing_required_parameter") : RequestFields.Wrong("messages", "a list of at least one message");
        var messages = new JsonArray();
        foreach (var (k, item) in given.Index())
        {
            var place = $"messages[{k}]";
            if (item is not JsonObject message)
                throw RequestFields.Wrong(place, "an object");
            var role = message["role"] is JsonValue value ? value.ToString() : "";
            if (role is not ("system" or "developer" or "user" or "assistant" or "tool"))
                throw ApiException.Invalid($"{place}.role", $"{place}.role must be system, developer, user, assistant or tool.");
            var plain = message.DeepClone().AsObject();
            // Templates know the older name alone.
            plain["role"] = role == "developer" ? "system" : role;
            plain["content"] = Content(message["content"], $"{place}.content");
            messages.Add(plain);
        }
        try
        {
            return Known(Chat!.Encode(messages), "messages");
        }
        catch (InvalidInputException refused)
        {
            throw ApiException.Invalid("messages", refused.Message);
        }
    }

    private static string Content(JsonNode? node, string place) => node switch
    {
        null => "",
        JsonArray parts => string.Concat(parts.Select(part => part is JsonObject { } one && $"{one["type"]}" == "text" && one["text"]?.GetValueKind() == JsonValueKind.String
            ? one["text"]!.GetValue<string>() : throw ApiException.Invalid(place, $"{place} may have parts of text only.", "unsupported_content"))),
        _ when node.GetValueKind() == JsonValueKind.String => node.GetValue<string>(),
        _ => throw RequestFields.Wrong(place, "a string or a list of parts"),
    };

    /// <summary>A request that can be submitted.</summary>
    /// <param name="Requests">One per prompt.</param>
    /// <param name="Stream">Answer part by part.</param>
    /// <param name="Usage">With the tokens that were used at the end of a stream.</param>
    /// <param name="Echo">Begin the text with the prompt.</param>
    internal sealed record Reading(IReadOnlyList<ServingRequest> Requests, bool Stream, bool Usage, bool Echo);
}
