using System.Text.Json.Nodes;
using Qbb.Models.Tokenizers;
using Qbb.Tests;

namespace Qbb.Models.Tests.Tokenizers;

public sealed class TokenizerTests
{
    [Fact]
    public void The_vocabulary_is_open_to_questions()
    {
        var tokenizer = TokenizerJsonText.Load(TokenizerJsonText.Small);
        tokenizer.VocabularySize.ShouldBe(10);
        tokenizer.TokenToId("abc").ShouldBe(5);
        tokenizer.TokenToId("nothing").ShouldBeNull();
        tokenizer.IdToToken(9).ShouldBe("<s>");
        tokenizer.IdToToken(10).ShouldBeNull();
        tokenizer.IdToToken(-1).ShouldBeNull();
        tokenizer.SpecialIds.ShouldBe([9]);
        tokenizer.BeginOfSequence.ShouldBeNull();
        tokenizer.Encode("<s>abc 😀é a").ShouldBe([9, 5, 3, 8, 7, 6]);
    }

    [Fact]
    public void The_size_counts_to_the_largest_id()
    {
        var json = JsonNode.Parse(TokenizerJsonText.Small)!;
        json["model"]!["vocab"]!["z"] = 1000;
        var tokenizer = Tokenizer.FromJson(json, "test.json");
        tokenizer.VocabularySize.ShouldBe(1001);
        tokenizer.IdToToken(500).ShouldBeNull();
        tokenizer.Decode([500, 1000]).ShouldBe("z");
    }

    [Fact]
    public void Saved_files_are_the_files_that_were_read()
    {
        var source = Reference.Path("tokenizers", "gemma", "tokenizer.json");
        var path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.json");
        try
        {
            var tokenizer = Tokenizer.FromFile(source);
            tokenizer.Save(path);
            File.ReadAllBytes(path).ShouldBe(File.ReadAllBytes(source));
            JsonNode.DeepEquals(tokenizer.ToJson(), JsonNode.Parse(File.ReadAllBytes(source))).ShouldBeTrue();
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void Half_a_surrogate_pair_counts_as_a_replacement_character()
    {
        var tokenizer = Tokenizer.FromFile(Reference.Path("tokenizers", "gpt2", "tokenizer.json"));
        tokenizer.Encode("a\uD83D b").ShouldBe(tokenizer.Encode("a\uFFFD b"));
        tokenizer.Decode(tokenizer.Encode("\uDE42x🙂")).ShouldBe("\uFFFDx🙂");
    }

    [Theory]
    [InlineData("BertProcessing")]
    [InlineData("RobertaProcessing")]
    public void Post_processors_of_the_older_kind_put_their_tokens_around_a_text(string type)
    {
        var json = JsonNode.Parse(TokenizerJsonText.Small)!;
        json["post_processor"] = JsonNode.Parse($$"""{"type": "{{type}}", "sep": ["<s>", 9], "cls": ["é", 7]}""");
        var tokenizer = Tokenizer.FromJson(json, "test.json");
        tokenizer.Encode("ab").ShouldBe([7, 4, 9]);
        tokenizer.Encode("ab", addSpecialTokens: false).ShouldBe([4]);
        tokenizer.BeginOfSequence.ShouldBe(7);
    }

    /// <summary>As releases of the library from 0.23 on: the form that is sought is what decoders can turn back into text.</summary>
    [Theory]
    [InlineData("""{"type": "Lowercase"}""", """{"type": "Fuse"}""", "Foo", true, "foo", "foo")]
    [InlineData("""{"type": "Lowercase"}""", """{"type": "Fuse"}""", "Foo", false, "Foo", "Foo")]
    [InlineData("""{"type": "Prepend", "prepend": " "}""", """{"type": "Fuse"}""", "x", true, "x", " x")]
    [InlineData("""{"type": "ByteLevel"}""", """{"type": "ByteLevel"}""", "ü", true, "ü", "ü")]
    [InlineData("""{"type": "ByteLevel"}""", """{"type": "ByteLevel"}""", "ü", false, "ü", "\uFFFD")]
    [InlineData("""{"type": "NFC"}""", """{"type": "ByteLevel"}""", "caf\u00E9", true, "café", "caf\uFFFD")]
    [InlineData("""{"type": "NFC"}""", """{"type": "ByteLevel"}""", "日本", true, "日本", "日本")]
    public void An_added_token_decodes_to_the_form_that_it_is_sought_in(
        string normalizer, string decoder, string content, bool normalized, string text, string expected)
    {
        var json = JsonNode.Parse(TokenizerJsonText.Small)!;
        json["normalizer"] = JsonNode.Parse(normalizer);
        json["decoder"] = JsonNode.Parse(decoder);
        json["added_tokens"]!.AsArray().Add(TokenizerJson.AddedToken(10, content, special: false));
        json["added_tokens"]![1]!["normalized"] = normalized;
        var tokenizer = Tokenizer.FromJson(json, "test.json");
        tokenizer.Encode(text).ShouldBe([10]);
        tokenizer.Decode([10]).ShouldBe(expected);
    }

    [Fact]
    public void A_token_within_the_white_space_that_another_took_is_found_where_it_keeps_its_own()
    {
        var json = JsonNode.Parse(TokenizerJsonText.Small)!;
        var token = TokenizerJson.AddedToken(10, "  ", special: false);
        (token["lstrip"], token["rstrip"]) = (true, true);
        json["added_tokens"]!.AsArray().Add((JsonNode)token);
        Tokenizer.FromJson(json, "test.json").Encode("a    b").ShouldBe([0, 10, 1]);
    }

    [Theory]
    [InlineData("gpt2")]
    [InlineData("opt")]
    [InlineData("phi2")]
    [InlineData("llama3")]
    [InlineData("deepseek-v3")]
    [InlineData("deepseek-coder")]
    [InlineData("tekken")]
    public void Any_text_comes_back(string family)
    {
        const int seed = 4711;
        var random = new Random(seed);
        var tokenizer = Tokenizer.FromFile(Reference.Path("tokenizers", family, "tokenizer.json"));
        for (var i = 0; i < 300; i++)
        {
            var text = RandomText.Create(random, 60);
            tokenizer.Decode(tokenizer.Encode(text, addSpecialTokens: false)).ShouldBe(text, $"{family}, seed {seed}, case {i}");
        }
    }

    [Theory]
    [InlineData("gpt-neox")]
    [InlineData("qwen2")]
    public void Any_composed_text_comes_back(string family)
    {
        const int seed = 4712;
        var random = new Random(seed);
        var tokenizer = Tokenizer.FromFile(Reference.Path("tokenizers", family, "tokenizer.json"));
        var compose = new UnicodeNormalizer(UnicodeForm.Nfc);
        for (var i = 0; i < 300; i++)
        {
            var text = RandomText.Create(random, 60);
            tokenizer.Decode(tokenizer.Encode(text, addSpecialTokens: false)).ShouldBe(compose.Normalize(text), $"{family}, seed {seed}, case {i}");
        }
    }

    [Theory]
    [InlineData("llama2")]
    [InlineData("gemma")]
    public void Any_text_without_the_visible_space_comes_back(string family)
    {
        const int seed = 4713;
        var random = new Random(seed);
        var tokenizer = Tokenizer.FromFile(Reference.Path("tokenizers", family, "tokenizer.json"));
        for (var i = 0; i < 300; i++)
        {
            var text = RandomText.Create(random, 60).Replace("\u2581", "");
            tokenizer.Decode(tokenizer.Encode(text, addSpecialTokens: false)).ShouldBe(text, $"{family}, seed {seed}, case {i}");
        }
    }
}
