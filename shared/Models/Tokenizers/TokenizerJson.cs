using System.Text.Json.Nodes;

namespace Qbb.Models.Tokenizers;

/// <summary>Building blocks of the tokenizer.json files that this library writes.</summary>
internal static class TokenizerJson
{
    public static JsonObject AddedToken(int id, string content, bool special) => new()
    {
        ["id"] = id,
        ["content"] = content,
        ["single_word"] = false,
        ["lstrip"] = false,
        ["rstrip"] = false,
        ["normalized"] = false,
        ["special"] = special,
    };

    public static JsonObject ByteLevel(bool useRegex) => new()
    {
        ["type"] = "ByteLevel",
        ["add_prefix_space"] = false,
        ["trim_offsets"] = true,
        ["use_regex"] = useRegex,
    };

    /// <summary>Cuts the matches of a regular expression out.</summary>
    public static JsonObject Split(string regex) => new()
    {
        ["type"] = "Split",
        ["pattern"] = new JsonObject { ["Regex"] = regex },
        ["behavior"] = "Isolated",
        ["invert"] = false,
    };

    public static JsonObject Replace(string literal, string content) => new()
    {
        ["type"] = "Replace",
        ["pattern"] = new JsonObject { ["String"] = literal },
        ["content"] = content,
    };

    public static JsonObject Sequence(string member, IEnumerable<JsonNode> items) => new()
    {
        ["type"] = "Sequence",
        [member] = new JsonArray([.. items]),
    };

    public static JsonObject Bpe(JsonObject vocabulary, IEnumerable<string> merges) => new()
    {
        ["type"] = "BPE",
        ["dropout"] = null,
        ["unk_token"] = null,
        ["continuing_subword_prefix"] = null,
        ["end_of_word_suffix"] = null,
        ["fuse_unk"] = false,
        ["byte_fallback"] = false,
        ["ignore_merges"] = false,
        ["vocab"] = vocabulary,
        ["merges"] = new JsonArray([.. merges.Select(merge => (JsonNode)merge)]),
    };

    /// <summary>The post-processor that puts tokens around a text; null where it puts none.</summary>
    public static JsonObject? Template((int Id, string Token)? begin, (int Id, string Token)? end)
    {
        if (begin == null && end == null)
            return null;
        var special = new JsonObject();
        foreach (var item in new[] { begin, end })
            if (item is var (id, token) && !special.ContainsKey(token))
                special[token] = new JsonObject { ["id"] = token, ["ids"] = new JsonArray(id), ["tokens"] = new JsonArray(token) };
        return new JsonObject
        {
            ["type"] = "TemplateProcessing",
            ["single"] = new JsonArray([.. Around("A", 0)]),
            ["pair"] = new JsonArray([.. Around("A", 0), .. Around("B", 1)]),
            ["special_tokens"] = special,
        };

        IEnumerable<JsonNode> Around(string sequence, int type)
        {
            if (begin != null)
                yield return Item("SpecialToken", begin.Value.Token, type);
            yield return Item("Sequence", sequence, type);
            if (end != null)
                yield return Item("SpecialToken", end.Value.Token, type);
        }
    }

    private static JsonObject Item(string kind, string id, int type) => new() { [kind] = new JsonObject { ["id"] = id, ["type_id"] = type } };
}
