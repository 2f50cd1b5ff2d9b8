using System.Text.Json.Nodes;

namespace Qbb.Models.Tokenizers;

/// <summary>tokenizer.json of a trained tokenizer: the pipeline of GPT-2 with a template for the tokens around a text.</summary>
internal static class TrainedTokenizerJson
{
    public static JsonObject Write(BpeTrainerOptions options, List<string> tokens, List<(string Left, string Right)> merges)
    {
        var vocabulary = new JsonObject();
        for (var id = 0; id < tokens.Count; id++)
            vocabulary.Add(tokens[id], id);
        return new JsonObject
        {
            ["version"] = "1.0",
            ["truncation"] = null,
            ["padding"] = null,
            ["added_tokens"] = new JsonArray([.. options.SpecialTokens.Select((token, id) => TokenizerJson.AddedToken(id, token, special: true))]),
            ["normalizer"] = null,
            ["pre_tokenizer"] = TokenizerJson.ByteLevel(useRegex: true),
            ["post_processor"] = TokenizerJson.Template(Find(options.BeginOfSequence), Find(options.EndOfSequence)),
            ["decoder"] = TokenizerJson.ByteLevel(useRegex: true),
            ["model"] = TokenizerJson.Bpe(vocabulary, merges.Select(merge => $"{merge.Left} {merge.Right}")),
        };

        (int, string)? Find(string? token) => token == null ? null : (tokens.IndexOf(token), token);
    }
}
