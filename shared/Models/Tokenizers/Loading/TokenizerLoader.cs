using System.Text.Json;
using System.Text.Unicode;
using Qbb.Checkpoints;

namespace Qbb.Models.Tokenizers;

/// <summary>Reads tokenizer.json. "truncation" and "padding" are not applied: they are choices of a call, not of a tokenizer.</summary>
internal static class TokenizerLoader
{
    /// <summary>Ten times the longest in use (runs of spaces); looking for added tokens takes time by their length.</summary>
    private const int MaximumAddedToken = 1024;

    private static readonly JsonDocumentOptions Options = new() { AllowDuplicateProperties = false, MaxDepth = 64 };

    public static TokenizerParts Load(ReadOnlyMemory<byte> utf8, string source)
    {
        if (!Utf8.IsValid(utf8.Span))
            throw new InvalidInputException($"{source}: not a tokenizer.json, it is not valid UTF-8");
        using var document = Parse(utf8, source);
        return Load(new JsonField(document.RootElement, "", source));
    }

    private static JsonDocument Parse(ReadOnlyMemory<byte> utf8, string source)
    {
        try
        {
            return JsonDocument.Parse(utf8, Options);
        }
        catch (JsonException error)
        {
            throw new InvalidInputException($"{source}: not a tokenizer.json: {error.Message}", error);
        }
        catch (InvalidOperationException error)
        {
            // Names are unescaped to find those that come twice.
            throw new InvalidInputException($"{source}: a name holds half of a surrogate pair, which is not valid text", error);
        }
    }

    private static TokenizerParts Load(JsonField root)
    {
        if (root["model"].IsNull)
            throw root["model"].Error("is missing: this is not a tokenizer.json");
        // The model is asked for its type first: it is the plainer reason to refuse a file.
        ModelLoader.TypeOf(root["model"]);
        var (preTokenizer, mapBytes) = PreTokenizerLoader.Load(root["pre_tokenizer"]);
        var (model, vocabulary) = ModelLoader.Load(root["model"], mapBytes);
        var added = new AddedVocabulary(LoadAddedTokens(root["added_tokens"], vocabulary), NormalizerLoader.Load(root["normalizer"]));
        var ids = new Dictionary<string, int>(vocabulary);
        foreach (var token in added.Tokens)
            ids[token.Content] = token.Id;
        var tokens = new string?[ids.Values.DefaultIfEmpty(-1).Max() + 1];
        foreach (var (token, id) in ids)
            tokens[id] = token;
        var template = PostProcessorLoader.Load(root["post_processor"]);
        foreach (var id in template.Before.Concat(template.After))
            if (id >= tokens.Length || tokens[id] == null)
                throw root["post_processor"].Error($"adds the token {id}, which is not in the vocabulary");
        return new TokenizerParts(added, preTokenizer, model, template, DecoderLoader.Load(root["decoder"]), ids, tokens);
    }

    private static List<AddedToken> LoadAddedTokens(JsonField field, Dictionary<string, int> vocabulary)
    {
        var result = new List<AddedToken>();
        if (field.IsNull)
            return result;
        var byId = vocabulary.ToDictionary(pair => pair.Value, pair => pair.Key);
        var seen = new HashSet<string>();
        var last = -1;
        foreach (var item in field.Items())
        {
            var content = item["content"].ShortString(MaximumAddedToken);
            var id = item["id"].Int(0, ModelLoader.MaximumId);
            if (content.Length == 0)
                continue;
            if (!seen.Add(content))
                throw item.Error($"adds the token \"{content}\" a second time");
            // As the library: a token of the vocabulary keeps its id, any other gets the next that is free.
            var assigned = vocabulary.TryGetValue(content, out var known) ? known : Math.Max(last + 1, vocabulary.Count);
            if (assigned != id)
                ModelWarnings.Report(item.Error($"gives the token \"{content}\" the id {id}; it has {assigned}, which is used").Message);
            id = assigned;
            last = Math.Max(last, id);
            if (byId.TryGetValue(id, out var other) && other != content)
                throw item.Error($"gives the token \"{content}\" the id {id}, which \"{other}\" has");
            byId[id] = content;
            var special = item["special"].BoolOr(false);
            result.Add(new AddedToken(
                id, content, special, item["normalized"].BoolOr(!special), item["single_word"].BoolOr(false),
                item["lstrip"].BoolOr(false), item["rstrip"].BoolOr(false)));
        }
        return result;
    }
}
