using System.Text.Json;
using Qbb.Checkpoints;
using Qbb.Models.Tokenizers;
using Qbb.Tests;

namespace Qbb.Models.Tests.Tokenizers;

/// <summary>The tokenizers of pretrained models against what transformers gives for them.</summary>
public sealed class RealTokenizerTests
{
    private static Tokenizer? loaded;

    [Theory]
    [InlineData("stories260k")]
    [InlineData("babyllama-tok361")]
    public void Ids_and_texts_equal_those_of_transformers(string model)
    {
        var tokenizer = Tokenizer.FromFile(Reference.Shared("models", model, "tokenizer.json"));
        var golden = ReadJson("real-models.json").GetProperty(model);
        foreach (var (sample, index) in Strings(golden, "samples").Select((sample, index) => (sample, index)))
        {
            var ids = Ids(golden.GetProperty("input_ids")[index]);
            tokenizer.Encode(sample).ShouldBe(ids, sample);
            tokenizer.Decode(ids, skipSpecialTokens: true).ShouldBe(golden.GetProperty("decoded")[index].GetString());
        }
        tokenizer.Decode(Ids(golden.GetProperty("greedy60_from_bos"))).ShouldBe(golden.GetProperty("greedy_text").GetString());
    }

    [Fact]
    public void SmolLm2_from_its_gguf_file_gives_the_ids_agreed_by_two_implementations()
    {
        var tokenizer = SmolLm2();
        var golden = ReadJson("smollm2-135m.json");
        foreach (var (text, index) in Strings(golden, "texts").Select((text, index) => (text, index)))
        {
            var ids = Ids(golden.GetProperty("input_ids")[index]);
            tokenizer.Encode(text).ShouldBe(ids, text);
            tokenizer.Decode(ids).ShouldBe(golden.GetProperty("decoded")[index].GetString());
        }
        foreach (var item in golden.GetProperty("greedy40").EnumerateArray())
            tokenizer.Decode(Ids(item.GetProperty("ids"))).ShouldBe(item.GetProperty("decoded").GetString());
    }

    [Fact]
    public void SmolLm2_gives_WikiText2_as_many_tokens_as_the_reference_counts()
    {
        var tokenizer = SmolLm2();
        var golden = ReadJson("smollm2-135m.json");
        var lines = File.ReadAllText(Reference.Shared("data", "wikitext-2", "wiki.test.raw")).Split('\n').SkipLast(1);
        var text = string.Join("\n\n", lines.Select(line => string.IsNullOrWhiteSpace(line) ? "" : line + "\n"));
        var ids = tokenizer.Encode(text);
        ids.Length.ShouldBe(golden.GetProperty("tokens_wikitext").GetInt32());
        var first = Ids(golden.GetProperty("first_wikitext_ids"));
        var last = Ids(golden.GetProperty("last_wikitext_ids"));
        ids[..first.Length].ShouldBe(first);
        ids[^last.Length..].ShouldBe(last);
        tokenizer.Decode(ids).ShouldBe(text);
    }

    [Fact]
    public void SmolLm2_gives_a_book_as_many_tokens_as_the_reference_counts() =>
        SmolLm2().Encode(File.ReadAllText(Reference.Shared("data", "books-valid.txt"))).Length
            .ShouldBe(ReadJson("smollm2-135m.json").GetProperty("tokens_books_valid").GetInt32());

    [Fact]
    public void SmolLm2_has_its_special_tokens()
    {
        var tokenizer = SmolLm2();
        tokenizer.VocabularySize.ShouldBe(49152);
        tokenizer.IdToToken(1).ShouldBe("<|im_start|>");
        tokenizer.SpecialIds.ShouldContain(2);
        tokenizer.BeginOfSequence.ShouldBeNull();
    }

    private static Tokenizer SmolLm2()
    {
        using var file = GgufFile.Open(Reference.Shared("models", "smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf"));
        return loaded ??= GgufTokenizer.Load(file.Metadata, "smollm2");
    }

    private static JsonElement ReadJson(string name) => JsonDocument.Parse(File.ReadAllBytes(Reference.Path(name))).RootElement;

    private static IEnumerable<string> Strings(JsonElement parent, string name) =>
        parent.GetProperty(name).EnumerateArray().Select(item => item.GetString()!);

    private static int[] Ids(JsonElement array) => [.. array.EnumerateArray().Select(id => id.GetInt32())];
}
