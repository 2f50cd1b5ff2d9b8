using System.Text;
using Qbb.Models.Tokenizers;

namespace Qbb.Models.Tests.Tokenizers;

public sealed class BpeTrainerTests
{
    private const string Text = "the cat sat on the mat, the cat ate the rat. The theatre is the other one; they're there, aren't they?\nÉté été été.\n";

    private static readonly BpeTrainerOptions Options = new(320)
    {
        SpecialTokens = ["<s>", "</s>", "<unk>"],
        BeginOfSequence = "<s>",
    };

    [Fact]
    public void Special_tokens_come_first_then_the_bytes_then_merges_by_frequency()
    {
        var tokenizer = BpeTrainer.Train([Text], Options);
        tokenizer.TokenToId("<s>").ShouldBe(0);
        tokenizer.TokenToId("<unk>").ShouldBe(2);
        tokenizer.SpecialIds.ShouldBe([0, 1, 2]);
        tokenizer.BeginOfSequence.ShouldBe(0);
        for (var id = 3; id < 259; id++)
            tokenizer.IdToToken(id)!.Length.ShouldBe(1);
        tokenizer.IdToToken(259).ShouldBe("he");
        tokenizer.IdToToken(260).ShouldBe("the");
        tokenizer.VocabularySize.ShouldBeLessThanOrEqualTo(320);
    }

    [Fact]
    public void Merges_equal_those_of_a_plain_count_of_all_pairs()
    {
        var random = new Random(5);
        var text = string.Concat(Enumerable.Range(0, 3000).Select(_ => "abcd  "[random.Next(6)]));
        var tokenizer = BpeTrainer.Train([text], new BpeTrainerOptions(330));
        var merges = tokenizer.ToJson()["model"]!["merges"]!.AsArray().Select(merge => merge!.GetValue<string>()).ToList();
        merges.Count.ShouldBeGreaterThan(60);
        merges.ShouldBe(ReferenceMerges(text, merges.Count, token => tokenizer.TokenToId(token)!.Value));
    }

    [Fact]
    public void The_same_text_gives_the_same_tokenizer_however_it_is_read()
    {
        var lines = Enumerable.Repeat(Text, 50).ToArray();
        var fromLines = BpeTrainer.Train(lines.SelectMany(text => text.Split('\n', StringSplitOptions.RemoveEmptyEntries)).Select(line => line + "\n"), Options);
        var fromReader = BpeTrainer.Train(new StringReader(string.Concat(lines)), Options);
        fromReader.ToJson().ToJsonString().ShouldBe(fromLines.ToJson().ToJsonString());
    }

    [Fact]
    public void Any_text_comes_back()
    {
        const int seed = 20260;
        var random = new Random(seed);
        var tokenizer = BpeTrainer.Train([Text], Options);
        for (var i = 0; i < 200; i++)
        {
            var text = RandomText.Create(random, 40);
            var ids = tokenizer.Encode(text);
            ids[0].ShouldBe(0);
            tokenizer.Decode(ids, skipSpecialTokens: true).ShouldBe(text, $"seed {seed}, case {i}");
        }
    }

    [Fact]
    public void A_saved_tokenizer_loads_and_gives_the_same_ids()
    {
        var tokenizer = BpeTrainer.Train([Text], Options);
        var path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.json");
        try
        {
            tokenizer.Save(path);
            Tokenizer.FromFile(path).Encode(Text).ShouldBe(tokenizer.Encode(Text));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void A_merge_never_spells_a_special_token()
    {
        var tokenizer = BpeTrainer.Train([Text], new BpeTrainerOptions(300) { SpecialTokens = ["he"] });
        tokenizer.TokenToId("he").ShouldBe(0);
        tokenizer.ToJson()["model"]!["merges"]!.AsArray().Select(merge => merge!.GetValue<string>()).ShouldNotContain("h e");
    }

    [Theory]
    [InlineData(258)]
    [InlineData(int.MaxValue)]
    public void A_vocabulary_that_cannot_be_is_refused(int size) =>
        Should.Throw<InvalidInputException>(() => BpeTrainer.Train([Text], Options with { VocabularySize = size })).Message.ShouldContain($"{size}");

    [Fact]
    public void A_begin_token_outside_the_special_tokens_is_refused() =>
        Should.Throw<InvalidInputException>(() => BpeTrainer.Train([Text], Options with { BeginOfSequence = "<bos>" })).Message.ShouldContain("<bos>");

    /// <summary>Counts every pair anew for each merge.</summary>
    private static List<string> ReferenceMerges(string text, int count, Func<string, int> idOf)
    {
        var words = System.Text.RegularExpressions.Regex.Matches(text, @" ?[a-z]+|\s+(?!\S)|\s+")
            .Select(match => match.Value.Select(c => c == ' ' ? "Ġ" : c.ToString()).ToList()).ToList();
        var merges = new List<string>();
        while (merges.Count < count)
        {
            var best = words.SelectMany(word => word.Zip(word.Skip(1)))
                .GroupBy(pair => pair)
                .OrderByDescending(group => group.Count()).ThenBy(group => idOf(group.Key.First)).ThenBy(group => idOf(group.Key.Second))
                .First().Key;
            merges.Add($"{best.First} {best.Second}");
            foreach (var word in words)
                for (var i = 0; i + 1 < word.Count; i++)
                    if (word[i] == best.First && word[i + 1] == best.Second)
                    {
                        word[i] += word[i + 1];
                        word.RemoveAt(i + 1);
                    }
        }
        return merges;
    }
}
