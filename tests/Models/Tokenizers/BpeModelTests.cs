using Qbb.Models.Tokenizers;

namespace Qbb.Models.Tests.Tokenizers;

public sealed class BpeModelTests
{
    [Fact]
    public void A_long_word_merges_as_a_short_one()
    {
        const int seed = 9;
        var random = new Random(seed);
        for (var round = 0; round < 300; round++)
        {
            var merges = new List<(int, int, int)>();
            for (var id = 3; id < 40; id++)
                merges.Add((random.Next(id), random.Next(id), id));
            var table = new MergeTable(merges);
            var word = Enumerable.Range(0, random.Next(1, 48)).Select(_ => random.Next(3)).ToArray();
            var (quick, queued) = (word.ToArray(), word.ToArray());
            var count = SymbolMerger.Merge(table, quick);
            var queuedCount = SymbolMerger.MergeLong(table, queued);
            var expected = ReferenceMerge(merges, word);
            quick[..count].ShouldBe(expected, $"seed {seed}, round {round}");
            queued[..queuedCount].ShouldBe(expected, $"seed {seed}, round {round}");
        }
    }

    [Theory]
    [InlineData("abxab", false, "4,6,4")]
    [InlineData("abxyab", false, "4,6,6,4")]
    [InlineData("abxyab", true, "4,6,4")]
    [InlineData("xxa", true, "6,0")]
    public void Unknown_characters_become_the_unknown_token(string text, bool fuse, string expected) =>
        Encode($$"""{"type": "BPE", "unk_token": "<unk>", "fuse_unk": {{(fuse ? "true" : "false")}}, {{Vocabulary}} }""", text).ShouldBe(expected);

    [Fact]
    public void Without_an_unknown_token_unknown_characters_vanish() => Encode($$"""{ {{Vocabulary}} }""", "xaxb").ShouldBe("4");

    [Fact]
    public void Without_its_bytes_a_character_is_unknown_and_comes_after_the_bytes_of_the_next() =>
        // The library's own order: bytes do not end a run of unknown characters.
        Encode($$"""{"type": "BPE", "unk_token": "<unk>", "byte_fallback": true, {{Vocabulary}} }""", "é\u0001").ShouldBe("7,6");

    [Fact]
    public void Ignore_merges_takes_a_whole_word_as_it_is()
    {
        Encode($$"""{"type": "BPE", "ignore_merges": true, {{Vocabulary}} }""", "cab").ShouldBe("5");
        Encode($$"""{"type": "BPE", "ignore_merges": false, {{Vocabulary}} }""", "cab").ShouldBe("2,4");
    }

    [Fact]
    public void Prefix_and_suffix_mark_what_is_inside_and_at_the_end_of_a_word() =>
        Encode("""{"type": "BPE", "continuing_subword_prefix": "##", "end_of_word_suffix": "</w>", "vocab": {"a": 0, "##b": 1, "##c</w>": 2, "ab": 3, "a</w>": 4}, "merges": ["a ##b"]}""", "abc")
            .ShouldBe("3,2");

    [Fact]
    public void An_unknown_token_outside_the_vocabulary_is_named_when_it_is_needed()
    {
        var tokenizer = Load($$"""{"type": "BPE", "unk_token": "<none>", {{Vocabulary}} }""");
        tokenizer.Encode("ab").ShouldBe([4]);
        Should.Throw<InvalidInputException>(() => tokenizer.Encode("x")).Message.ShouldContain("<none>");
    }

    [Fact]
    public void Half_a_million_characters_are_one_word()
    {
        var text = string.Concat(Enumerable.Repeat("abcab", 100_000));
        Load($$"""{ {{Vocabulary}} }""").Encode(text).Length.ShouldBe(300_000);
    }

    [Fact]
    public void Many_threads_get_the_same_ids()
    {
        var tokenizer = Tokenizer.FromFile(Qbb.Tests.Reference.Path("tokenizers", "llama3", "tokenizer.json"));
        var texts = Enumerable.Range(0, 200).Select(i => RandomText.Create(new Random(i), 200)).ToArray();
        var expected = texts.Select(text => Tokenizer.FromFile(Qbb.Tests.Reference.Path("tokenizers", "llama3", "tokenizer.json")).Encode(text)).Take(3).ToArray();
        var found = texts.AsParallel().AsOrdered().WithDegreeOfParallelism(4).Select(text => tokenizer.Encode(text)).ToArray();
        found[..3].ShouldBe(expected);
        texts.Select(text => tokenizer.Encode(text)).ShouldBe(found);
    }

    private const string Vocabulary = """
        "vocab": {"a": 0, "b": 1, "c": 2, "ca": 3, "ab": 4, "cab": 5, "<unk>": 6, "<0x01>": 7}, "merges": ["a b", "c a"]
        """;

    private static Tokenizer Load(string model) => TokenizerJsonText.Load($$"""{"model": {{model}} }""");

    private static string Encode(string model, string text) => string.Join(',', Load(model).Encode(text));

    private static int[] ReferenceMerge(List<(int Left, int Right, int Result)> merges, int[] word)
    {
        var symbols = word.ToList();
        while (true)
        {
            // Of a pair that comes twice the last merge counts.
            var best = Enumerable.Range(0, Math.Max(0, symbols.Count - 1))
                .Select(i => (Rank: merges.FindLastIndex(merge => merge.Left == symbols[i] && merge.Right == symbols[i + 1]), Index: i))
                .Where(item => item.Rank >= 0)
                .OrderBy(item => item.Rank)
                .ThenBy(item => item.Index)
                .FirstOrDefault((Rank: -1, Index: -1));
            if (best.Index < 0)
                return [.. symbols];
            symbols[best.Index] = merges[best.Rank].Result;
            symbols.RemoveAt(best.Index + 1);
        }
    }
}
