using Qbb.Recipes;
using Qbb.Synthdata.Sampling;

namespace Qbb.Synthdata.Tests.Sampling;

public class SequenceSamplerTests
{
    private static readonly SamplingOptions s_options = new() { Length = 24, Seed = 7, Temperature = 0.9, TopP = 0.98 };

    [Fact]
    public void A_sequence_is_the_same_in_any_batch_and_order()
    {
        using var model = Tiny.Model();
        var sampler = Sampler(Tiny.Teacher(model), s_options);
        long[] all = [.. Enumerable.Range(0, 24)];
        var expected = all.Chunk(8).SelectMany(indices => sampler.Sample(indices)).ToArray();
        foreach (var batch in new[] { 1, 3 })
        {
            var sampled = all.Chunk(batch).SelectMany(indices => sampler.Sample(indices)).ToArray();
            for (var i = 0; i < all.Length; i++)
                sampled[i].ShouldBe(expected[i], $"sequence {i}, batch {batch}");
        }
        sampler.Sample([17, 3, 20])[1].ShouldBe(expected[3]);
        expected.ShouldAllBe(sequence => sequence.Length == 24);
        expected.Select(sequence => string.Join(' ', sequence)).Distinct().Count().ShouldBe(24);
    }

    [Fact]
    public void Another_seed_gives_other_sequences()
    {
        using var model = Tiny.Model();
        var teacher = Tiny.Teacher(model);
        Sampler(teacher, s_options with { Seed = 8 }).Sample([0])[0].ShouldNotBe(Sampler(teacher, s_options).Sample([0])[0]);
    }

    [Fact]
    public void Sequences_end_at_the_end_of_text_where_asked_and_do_not_change_before()
    {
        using var model = Tiny.Model();
        var teacher = Tiny.Teacher(model, null, 5, 6);
        long[] all = [.. Enumerable.Range(0, 16)];
        var free = Sampler(teacher, s_options).Sample(all);
        var stopped = Sampler(teacher, s_options with { StopAtEos = true }).Sample(all);
        for (var i = 0; i < all.Length; i++)
        {
            var end = Array.FindIndex(free[i], 1, token => token is 5 or 6);
            stopped[i].ShouldBe(end < 0 ? free[i] : free[i][..(end + 1)]);
        }
        stopped.ShouldContain(sequence => sequence.Length < 24);
    }

    [Fact]
    public void Sequences_begin_with_the_tokenizers_begin_of_text_and_an_ordinary_token()
    {
        var tokenizer = Tiny.Tokenizer("llama2");
        using var model = Tiny.Model(vocabulary: tokenizer.VocabularySize);
        var teacher = Tiny.Teacher(model, tokenizer, 2);
        var ordinary = OrdinaryTokens.Of(tokenizer, tokenizer.VocabularySize, [2]);
        var sequences = new SequenceSampler(teacher, s_options with { Length = 3 }, FirstTokenLaw.Uniform(ordinary)).Sample([.. Enumerable.Range(0, 50)]);
        sequences.ShouldAllBe(sequence => sequence.Length == 3 && sequence[0] == tokenizer.BeginOfSequence && ordinary.Contains(sequence[1]));
    }

    private static SequenceSampler Sampler(Teacher teacher, SamplingOptions options) =>
        new(teacher, options, FirstTokenLaw.Uniform(OrdinaryTokens.Of(null, Tiny.Vocabulary, teacher.StopIds)));
}
