using Qbb.Models;
using Qbb.Models.Generation;
using Qbb.Synthdata.Data;
using Qbb.Synthdata.Sampling;

namespace Qbb.Synthdata.Tests.Sampling;

public class FirstTokenTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("llama2")]
    [InlineData("gemma")]
    [InlineData("phi3")]
    [InlineData("llama3")]
    [InlineData("gpt-neox")]
    [InlineData("tekken")]
    [InlineData("deepseek-v3")]
    public void Ordinary_tokens_stand_for_text(string name)
    {
        var tokenizer = Tiny.Tokenizer(name);
        // A model may have more rows than its tokenizer has tokens.
        var ordinary = OrdinaryTokens.Of(tokenizer, tokenizer.VocabularySize + 24, [0]);
        output.WriteLine(
            $"{name}: {ordinary.Count} of {tokenizer.VocabularySize}; "
            + $"{string.Join(' ', Enumerable.Range(0, tokenizer.VocabularySize).Except(ordinary).Select(tokenizer.IdToToken).Take(400))}");
        ordinary.ShouldAllBe(id => id < tokenizer.VocabularySize && !tokenizer.SpecialIds.Contains(id));
        ordinary.ShouldNotContain(0);
        var tokens = ordinary.Select(id => tokenizer.IdToToken(id)!).ToHashSet();
        tokens.ShouldNotContain(token => token.StartsWith("<0x") || token.Contains("unused") || token.Contains("reserved") || token.Contains("placeholder"));
        ordinary.Count.ShouldBeGreaterThan(tokenizer.VocabularySize / 2);
        foreach (var word in new[] { "a", "." })
            ordinary.ShouldContain(tokenizer.Encode(word, addSpecialTokens: false)[^1]);
        ordinary.ShouldAllBe(id => !tokenizer.Decode(new[] { id }, false).Contains('\uFFFD'));
    }

    [Fact]
    public void Without_a_tokenizer_all_but_the_stop_ids_are_ordinary() =>
        OrdinaryTokens.Of(null, 6, [2, 5]).ShouldBe([0, 1, 3, 4]);

    [Fact]
    public void A_vocabulary_without_text_is_refused() =>
        Should.Throw<InvalidInputException>(() => OrdinaryTokens.Of(null, 2, [0, 1])).Message.ShouldContain("none of the 2 tokens");

    [Fact]
    public void The_uniform_law_reaches_every_ordinary_token_alike()
    {
        var law = FirstTokenLaw.Uniform([3, 7, 9, 20]);
        new[] { 0, 0.24, 0.25, 0.5, 0.75, Math.BitDecrement(1.0) }.Select(law.Draw).ShouldBe([3, 3, 7, 9, 20, 20]);
    }

    [Fact]
    public void The_unigram_law_has_the_frequencies_of_earlier_data()
    {
        using var folder = new TemporaryFolder();
        // Of the ordinary tokens 3 stands there four times, 7 not at all, 9 once; 1 is not ordinary.
        Tiny.WriteData(folder["data"], [[1, 3, 3], [1, 9, 3], [1, 1, 3]], 3, 2);
        using var data = SampledData.Open(folder["data"]);
        var law = FirstTokenLaw.Unigram([3, 7, 9], data);
        new[] { 0, 0.79, 0.81, Math.BitDecrement(1.0) }.Select(law.Draw).ShouldBe([3, 3, 9, 9]);
        const int draws = 20_000;
        var random = new SplitMix64(4);
        var threes = Enumerable.Range(0, draws).Count(_ => law.Draw(random.NextUniform()) == 3);
        output.WriteLine($"seed 4: {threes} of {draws}");
        ((double)threes / draws).ShouldBe(0.8, 0.015);
        Should.Throw<InvalidInputException>(() => FirstTokenLaw.Unigram([5, 6], data)).Message.ShouldContain("unigram");
    }
}
