using System.Text.Json;
using Qbb.Models.Tokenizers;
using Qbb.Tests;

namespace Qbb.Models.Tests.Tokenizers;

/// <summary>Every case that the Rust library was asked, of every family.</summary>
public sealed class TokenizerReferenceTests
{
    public static TheoryData<string> Families =>
    [
        "gpt2", "opt", "phi2", "gpt-neox", "smollm2", "llama3", "qwen2", "deepseek-v3", "deepseek-coder", "tekken", "llama2", "mistral-v3", "phi3",
        "gemma", "added-flags", "added-flags-spm", "unigram", "wordpiece",
    ];

    [Theory]
    [MemberData(nameof(Families))]
    public void Ids_equal_the_reference(string family)
    {
        var tokenizer = Load(family);
        foreach (var item in Cases(family, "golden.json"))
        {
            var text = item.GetProperty("text").GetString()!;
            tokenizer.Encode(text).ShouldBe(Ids(item, "ids"), $"ids of {Show(text)}");
            tokenizer.Encode(text, addSpecialTokens: false).ShouldBe(Ids(item, "ids_plain"), $"plain ids of {Show(text)}");
        }
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void Tokens_equal_the_reference(string family)
    {
        var tokenizer = Load(family);
        foreach (var item in Cases(family, "golden.json"))
        {
            // For an added token the reference has what was matched in the text, with the white space that it took.
            var tokens = item.GetProperty("tokens").EnumerateArray().Select(token => token.GetString()!).ToArray();
            foreach (var (id, token) in Ids(item, "ids").Zip(tokens))
            {
                var known = tokenizer.IdToToken(id)!;
                // Unigram's reference has the characters that it does not know.
                if (known == "<unk>" && family == "unigram")
                    continue;
                (known == token || token.Trim('▁', ' ', '\t', '\n', '\r', '\u3000', '\u00A0') == known.Trim()).ShouldBeTrue($"{id} is {known}, not {token}");
                tokenizer.TokenToId(known).ShouldBe(id);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void Decoded_text_equals_the_reference(string family)
    {
        var tokenizer = Load(family);
        foreach (var item in Cases(family, "golden.json").Concat(Cases(family, "decode.json")))
        {
            var ids = Ids(item, "ids");
            tokenizer.Decode(ids).ShouldBe(item.GetProperty("decoded").GetString(), string.Join(' ', ids));
            tokenizer.Decode(ids, skipSpecialTokens: true).ShouldBe(item.GetProperty("decoded_skip").GetString(), string.Join(' ', ids));
        }
    }

    private static Tokenizer Load(string family) => Tokenizer.FromFile(Reference.Path("tokenizers", family, "tokenizer.json"));

    private static JsonElement[] Cases(string family, string file) =>
        [.. JsonDocument.Parse(File.ReadAllBytes(Reference.Path("tokenizers", family, file))).RootElement.EnumerateArray()];

    private static int[] Ids(JsonElement item, string name) => [.. item.GetProperty(name).EnumerateArray().Select(id => id.GetInt32())];

    private static string Show(string text) => JsonSerializer.Serialize(text);
}
