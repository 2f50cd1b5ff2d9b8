using System.Text;
using System.Text.Json.Nodes;

namespace Qbb.Inference.Serving.OpenAi;

/// <summary>How one of the two APIs writes what was generated.</summary>
/// <param name="model">The model.</param>
/// <param name="id">Of this answer.</param>
/// <param name="created">Unix time in seconds.</param>
/// <param name="submission">What is generated.</param>
internal abstract class Answers(ServedModel model, string id, long created, Submission submission)
{
    protected ServedModel Model => model;

    /// <summary>The object of an answer as a whole.</summary>
    protected abstract string Whole { get; }

    /// <summary>The object of a streamed part.</summary>
    protected abstract string Part { get; }

    /// <summary>A choice of an answer as a whole.</summary>
    public abstract JsonObject Choice(int index, string text, IReadOnlyList<TokenLogprobs>? logprobs, FinishReason finish);

    /// <summary>The choices of a stream's first part, before there is text.</summary>
    public virtual IEnumerable<JsonObject> Openings(int choices) => [];

    /// <summary>The choices of the parts that stand for what a step added.</summary>
    public abstract IEnumerable<JsonObject> Additions(ServedPart part, bool logprobs);

    public JsonObject ToJson(IEnumerable<JsonObject> choices) => Json(Whole, choices, Usage());

    /// <summary>A streamed part.</summary>
    /// <param name="choice">What is new.</param>
    /// <param name="usage">Whether the stream ends with the usage: other parts then say that they have none.</param>
    public JsonObject ToPart(JsonObject choice, bool usage)
    {
        var json = Json(Part, [choice], null);
        if (usage)
            json["usage"] = null;
        return json;
    }

    public JsonObject ToUsagePart() => Json(Part, [], Usage());

    protected static string? Name(FinishReason? finish) => finish switch { null => null, FinishReason.Stop => "stop", _ => "length" };

    /// <summary>A token's text; where it is a part of a character its bytes, as OpenAI writes them.</summary>
    protected string TextOf(int token)
    {
        var bytes = model.Tokenizer.BytesOf(token);
        var text = Encoding.UTF8.GetString(bytes);
        return text.Contains('\uFFFD') ? "bytes:" + string.Concat(bytes.Select(value => $"\\x{value:x2}")) : text;
    }

    private JsonObject Json(string kind, IEnumerable<JsonObject> choices, JsonObject? usage)
    {
        var json = new JsonObject
        {
            ["id"] = id,
            ["object"] = kind,
            ["created"] = created,
            ["model"] = model.Name,
            ["choices"] = new JsonArray([.. choices]),
        };
        if (model.DegradedBases is { } bases)
            json["system_fingerprint"] = submission.IsDegraded ? $"bases-{bases}" : "bases-all";
        if (usage is not null)
            json["usage"] = usage;
        return json;
    }

    private JsonObject Usage() => new()
    {
        ["prompt_tokens"] = submission.PromptTokens,
        ["completion_tokens"] = submission.GeneratedTokens,
        ["total_tokens"] = submission.PromptTokens + submission.GeneratedTokens,
        ["prompt_tokens_details"] = new JsonObject { ["cached_tokens"] = submission.CachedTokens },
    };
}

/// <summary>/v1/completions.</summary>
/// <param name="model">The model.</param>
/// <param name="id">Of this answer.</param>
/// <param name="created">Unix time in seconds.</param>
/// <param name="submission">What is generated.</param>
/// <param name="before">Per choice what its text begins with: the prompt where it is echoed.</param>
internal sealed class CompletionAnswers(ServedModel model, string id, long created, Submission submission, IReadOnlyList<string> before) : Answers(model, id, created, submission)
{
    protected override string Whole => "text_completion";

    protected override string Part => "text_completion";

    public override JsonObject Choice(int index, string text, IReadOnlyList<TokenLogprobs>? logprobs, FinishReason finish) => Json(index, before[index] + text, logprobs, Name(finish));

    public override IEnumerable<JsonObject> Openings(int choices) => before.Index().Where(choice => choice.Item.Length > 0).Select(choice => Json(choice.Index, choice.Item, null, null));

    public override IEnumerable<JsonObject> Additions(ServedPart part, bool logprobs) => [Json(part.Choice, part.Text, logprobs ? part.Tokens : null, Name(part.Finish))];

    private JsonObject Json(int index, string text, IReadOnlyList<TokenLogprobs>? logprobs, string? finish) => new()
    {
        ["text"] = text,
        ["index"] = index,
        ["logprobs"] = logprobs is null ? null : new JsonObject
        {
            ["tokens"] = new JsonArray([.. logprobs.Select(token => (JsonNode)TextOf(token.Chosen.Id))]),
            ["token_logprobs"] = new JsonArray([.. logprobs.Select(token => (JsonNode)token.Chosen.Logprob)]),
            ["top_logprobs"] = new JsonArray([.. logprobs.Select(TopOf)]),
            ["text_offset"] = new JsonArray([.. logprobs.Select(token => (JsonNode)token.Start)]),
        },
        ["finish_reason"] = finish,
    };

    // The chosen token is among them, whether or not it is one of the likeliest; of two with the same text the likelier stays.
    private JsonObject TopOf(TokenLogprobs token)
    {
        var top = new JsonObject();
        foreach (var other in token.Top.Append(token.Chosen))
            top.TryAdd(TextOf(other.Id), other.Logprob);
        return top;
    }
}

/// <summary>/v1/chat/completions.</summary>
/// <inheritdoc/>
internal sealed class ChatAnswers(ServedModel model, string id, long created, Submission submission) : Answers(model, id, created, submission)
{
    protected override string Whole => "chat.completion";

    protected override string Part => "chat.completion.chunk";

    public override JsonObject Choice(int index, string text, IReadOnlyList<TokenLogprobs>? logprobs, FinishReason finish) => new()
    {
        ["index"] = index,
        ["message"] = new JsonObject { ["role"] = "assistant", ["content"] = text, ["refusal"] = null },
        ["logprobs"] = Json(logprobs),
        ["finish_reason"] = Name(finish),
    };

    public override IEnumerable<JsonObject> Openings(int choices) =>
        Enumerable.Range(0, choices).Select(index => Delta(index, new() { ["role"] = "assistant", ["content"] = "" }, null, null));

    public override IEnumerable<JsonObject> Additions(ServedPart part, bool logprobs)
    {
        if (part.Text.Length > 0 || part.Tokens.Count > 0)
            yield return Delta(part.Choice, new() { ["content"] = part.Text }, logprobs ? part.Tokens : null, null);
        if (part.Finish is { } finish)
            yield return Delta(part.Choice, [], null, finish);
    }

    private JsonObject Delta(int index, JsonObject delta, IReadOnlyList<TokenLogprobs>? logprobs, FinishReason? finish) => new()
    {
        ["index"] = index,
        ["delta"] = delta,
        ["logprobs"] = Json(logprobs),
        ["finish_reason"] = Name(finish),
    };

    private JsonObject? Json(IReadOnlyList<TokenLogprobs>? logprobs) => logprobs is null ? null : new()
    {
        ["content"] = new JsonArray([.. logprobs.Select(token =>
        {
            var json = Json(token.Chosen);
            json["top_logprobs"] = new JsonArray([.. token.Top.Select(Json)]);
            return json;
        })]),
        ["refusal"] = null,
    };

    private JsonObject Json(TokenLogprob token) => new()
    {
        ["token"] = TextOf(token.Id),
        ["logprob"] = token.Logprob,
        ["bytes"] = new JsonArray([.. Model.Tokenizer.BytesOf(token.Id).Select(value => (JsonNode)(int)value)]),
    };
}
