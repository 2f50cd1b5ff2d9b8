using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Tokenizers;

namespace Qbb.Inference.Templates;

/// <summary>A model's chat template with its special tokens: turns conversations into the tokens that the model was trained on.</summary>
public sealed class ChatPrompt
{
    private readonly ChatTemplate _template;
    private readonly Tokenizer _tokenizer;
    private readonly Dictionary<string, JsonNode?> _variables = [];

    private ChatPrompt(ChatTemplate template, Tokenizer tokenizer) => (_template, _tokenizer) = (template, tokenizer);

    /// <summary>Tokens that end a turn.</summary>
    public IReadOnlyCollection<int> StopIds { get; private init; } = [];

    /// <exception cref="InvalidInputException">The model has no chat template, or it cannot be read.</exception>
    public static ChatPrompt Of(ModelSource source, Tokenizer tokenizer) => Find(source, tokenizer)
        ?? throw new InvalidInputException($"{source.Path} has no chat template", "use qbb generate, or a model that was trained for conversations (with chat_template.jinja, or a chat_template in tokenizer_config.json)");

    /// <summary>The same; null for a model without template.</summary>
    /// <exception cref="InvalidInputException">It cannot be read.</exception>
    public static ChatPrompt? Find(ModelSource source, Tokenizer tokenizer)
    {
        if (source.ChatTemplates().FirstOrDefault(template => template.Variant.Length == 0).Text is not { } text)
            return null;
        var (begin, end) = source.GgufMetadata is { } metadata
            ? (Token(metadata, "tokenizer.ggml.bos_token_id", tokenizer), Token(metadata, "tokenizer.ggml.eos_token_id", tokenizer))
            : (source.SpecialToken("bos_token"), source.SpecialToken("eos_token"));
        return new(ChatTemplate.Parse(text), tokenizer)
        {
            StopIds = Models.Generation.StopIds.OfTurns(source, tokenizer),
            _variables = { ["bos_token"] = begin ?? "", ["eos_token"] = end ?? "" },
        };
    }

    /// <summary>The conversation and the beginning of the answer.</summary>
    /// <exception cref="InvalidInputException">The template refuses the conversation, or fails.</exception>
    public int[] Encode(JsonArray messages)
    {
        var text = _template.Render(messages, addGenerationPrompt: true, _variables);
        var ids = _tokenizer.Encode(text, addSpecialTokens: false);
        return ids.Length > 0 ? ids : throw new InvalidInputException("the model's chat template makes an empty text of the conversation");
    }

    private static string? Token(IReadOnlyDictionary<string, object> metadata, string key, Tokenizer tokenizer) =>
        metadata.GetValueOrDefault(key) is { } id && long.TryParse($"{id}", out var number) && number is >= 0 and <= int.MaxValue ? tokenizer.IdToToken((int)number) : null;
}
