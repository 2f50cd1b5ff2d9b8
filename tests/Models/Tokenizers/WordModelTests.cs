using Qbb.Models.Tokenizers;

namespace Qbb.Models.Tests.Tokenizers;

/// <summary>WordPiece and Unigram against their definitions.</summary>
public sealed class WordModelTests
{
    [Theory]
    [InlineData("unaffable", "1 2 3")]
    [InlineData("unaffablex", "0")]
    [InlineData("ununaff", "0")]
    [InlineData("un", "1")]
    [InlineData("##able", "3")]
    public void WordPiece_takes_the_longest_token_at_each_step(string word, string expected)
    {
        var vocabulary = new Dictionary<string, int> { ["[UNK]"] = 0, ["un"] = 1, ["##aff"] = 2, ["##able"] = 3, ["##a"] = 4, ["aff"] = 5 };
        Encode(new WordPieceModel(vocabulary, "[UNK]", "##", 100, mapBytes: false), word).ShouldBe(expected);
    }

    [Fact]
    public void WordPiece_knows_no_word_of_more_characters_than_it_may()
    {
        var model = new WordPieceModel(new() { ["?"] = 0, ["😀"] = 1, ["##😀"] = 2 }, "?", "##", 2, mapBytes: false);
        Encode(model, "😀😀").ShouldBe("1 2");
        Encode(model, "😀😀😀").ShouldBe("0");
    }

    [Fact]
    public void Without_its_unknown_token_an_unknown_word_is_an_error()
    {
        var model = new WordPieceModel(new() { ["a"] = 0 }, "[UNK]", "##", 100, mapBytes: false);
        Should.Throw<InvalidInputException>(() => Encode(model, "b")).Message.ShouldContain("[UNK]");
    }

    [Fact]
    public void Unigram_cuts_a_word_as_the_best_of_all_ways()
    {
        const int seed = 5;
        var random = new Random(seed);
        for (var round = 0; round < 300; round++)
        {
            // Every letter is there, so each cut into tokens is one of the 2^(n-1) ways.
            List<(string Token, double Score)> tokens = [("?", 0), .. "abc".Select(letter => (letter.ToString(), -random.NextDouble()))];
            for (var count = random.Next(12); count > 0; count--)
            {
                var token = string.Concat(Enumerable.Range(0, random.Next(2, 5)).Select(_ => "abc"[random.Next(3)]));
                if (tokens.All(known => known.Token != token))
                    tokens.Add((token, -4 * random.NextDouble()));
            }
            var word = string.Concat(Enumerable.Range(0, random.Next(1, 10)).Select(_ => "abc"[random.Next(3)]));
            var scores = tokens.ToDictionary(item => item.Token, item => item.Score);
            var best = Cuts(word).Where(cut => cut.All(scores.ContainsKey)).MaxBy(cut => cut.Sum(token => scores[token]))!;
            var expected = string.Join(' ', best.Select(token => tokens.FindIndex(item => item.Token == token)));
            Encode(new UnigramModel(tokens, 0, byteFallback: false, mapBytes: false), word).ShouldBe(expected, $"seed {seed}, round {round}");
        }
    }

    [Theory]
    [InlineData("abcdacdxx", false, "8 1 5 0")]
    [InlineData("aéb", true, "1 9 10 2")]
    [InlineData("éxa", true, "0 1")]
    public void Unknown_characters_are_one_unknown_token_or_their_bytes(string word, bool fallback, string expected)
    {
        List<(string, double)> tokens =
        [
            ("<unk>", 0), ("a", 0), ("b", 0), ("c", 0), ("d", 0), ("cd", 1), ("ab", 2), ("abc", 5), ("abcd", 10), ("<0xC3>", 0), ("<0xA9>", 0),
        ];
        Encode(new UnigramModel(tokens, 0, fallback, mapBytes: false), word).ShouldBe(expected);
    }

    [Fact]
    public void Without_an_unknown_id_an_unknown_character_is_an_error()
    {
        var model = new UnigramModel([("a", 0)], null, byteFallback: false, mapBytes: false);
        Should.Throw<InvalidInputException>(() => Encode(model, "ab")).Message.ShouldContain("unk_id");
    }

    private static IEnumerable<IReadOnlyList<string>> Cuts(string word)
    {
        for (var mask = 0; mask < 1 << (word.Length - 1); mask++)
        {
            var cut = new List<string> { word[..1] };
            for (var i = 1; i < word.Length; i++)
                if ((mask >> (i - 1) & 1) != 0)
                    cut.Add(word[i].ToString());
                else
                    cut[^1] += word[i];
            yield return cut;
        }
    }

    private static string Encode(WordModel model, string word)
    {
        var ids = new List<int>();
        model.Encode(word, ids);
        return string.Join(' ', ids);
    }
}
