using System.Text.Json;
using Qbb.Models.Tokenizers;

namespace Qbb.Models.Tests.Tokenizers;

/// <summary>Pieces of tokenizer.json for tests.</summary>
internal static class TokenizerJsonText
{
    /// <summary>A few letters, three merges, one special token.</summary>
    public const string Small = """
        {
          "added_tokens": [{"id": 9, "content": "<s>", "special": true, "normalized": false}],
          "normalizer": null,
          "pre_tokenizer": {"type": "Split", "pattern": {"Regex": " ?\\p{L}+|\\s+"}, "behavior": "Isolated", "invert": false},
          "post_processor": null,
          "decoder": {"type": "Fuse"},
          "model": {"type": "BPE", "unk_token": null, "vocab": {"a": 0, "b": 1, "c": 2, " ": 3, "ab": 4, "abc": 5, " a": 6, "é": 7, "😀": 8},
            "merges": ["a b", "ab c", ["\u0020", "a"]]}
        }
        """;

    public static JsonField Field(string json) => new(JsonDocument.Parse(json).RootElement, "part", "test.json");

    public static Tokenizer Load(string json) => Tokenizer.FromJson(new MemoryStream(System.Text.Encoding.UTF8.GetBytes(json)), "test.json");
}
