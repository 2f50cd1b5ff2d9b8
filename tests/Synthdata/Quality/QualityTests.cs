using Qbb.Recipes;
using Qbb.Synthdata.Data;
using Qbb.Synthdata.Quality;
using Qbb.Synthdata.Sampling;

namespace Qbb.Synthdata.Tests.Quality;

/// <summary>Figures against counts by hand.</summary>
public class QualityTests
{
    [Fact]
    public void Repetition_is_the_share_of_4_grams_that_stood_there_before()
    {
        // Five 4-grams, of which 1234 comes twice.
        SequenceQuality.Of([1, 2, 3, 4, 1, 2, 3, 4], null).Repetition.ShouldBe(1.0 / 5, 1e-12);
        SequenceQuality.Of([1, 2, 3, 4, 5, 6], null).Repetition.ShouldBe(0);
        SequenceQuality.Of([7, 7, 7, 7, 7], null).Repetition.ShouldBe(0.5);
        SequenceQuality.Of([7, 7, 7], null).Repetition.ShouldBe(0);
    }

    [Fact]
    public void The_longest_run_of_one_token_is_counted()
    {
        SequenceQuality.Of([1, 2, 2, 2, 1, 1], null).LongestRun.ShouldBe(3);
        SequenceQuality.Of([1], null).LongestRun.ShouldBe(1);
    }

    [Fact]
    public void Broken_characters_are_counted_but_not_the_one_that_the_end_cuts()
    {
        SequenceQuality.Of([1], "ab\uFFFDcd").Broken!.Value.ShouldBe(0.2);
        SequenceQuality.Of([1], "abcd\uFFFD\uFFFD\uFFFD").Broken.ShouldBe(0);
        SequenceQuality.Of([1], "abcd\uFFFD\uFFFD\uFFFD\uFFFD").Broken!.Value.ShouldBe(0.2);
        SequenceQuality.Of([1], "").Broken.ShouldBe(0);
        SequenceQuality.Of([1], null).Broken.ShouldBeNull();
    }

    [Fact]
    public void A_report_has_the_figures_of_what_was_kept()
    {
        var meter = new QualityMeter(8);
        foreach (var tokens in new int[][] { [0, 1, 0, 1], [0, 1, 2, 3], [0, 1, 2, 3] })
            meter.Keep(tokens, SequenceQuality.Of(tokens, "text"));
        meter.Drop(new DroppedSequence(3, DropReason.Broken, new SequenceQuality(4, 0, 1, 0.5)));
        var report = meter.Report();
        report.Sampled.ShouldBe(4);
        report.Kept.ShouldBe(3);
        meter.Tokens.ShouldBe(12);
        // Tokens 0 1 2 3 of 12; pairs 01 10 12 23 of 9; triples 010 101 012 123 of 6.
        report.Distinct1.ShouldBe(4.0 / 12, 1e-12);
        report.Distinct2.ShouldBe(4.0 / 9, 1e-12);
        report.Distinct3.ShouldBe(4.0 / 6, 1e-12);
        // 0 and 1 four times each, 2 and 3 twice: −2·(1/3)·log2(1/3) − 2·(1/6)·log2(1/6).
        report.Entropy.ShouldBe(1.918295834, 1e-8);
        report.Duplicates.ShouldBe(1);
        report.Broken!.Value.ShouldBe(0.25);
        report.Warnings.ShouldContain(warning => warning.Contains("1 of 4 sequences are degenerate"));
        report.Warnings.ShouldContain(warning => warning.Contains("1 of 3 sequences equal another one"));
        report.Warnings.ShouldContain(warning => warning.Contains("few tokens"));
        report.Warnings.ShouldContain(warning => warning.Contains("invalid UTF-8"));
    }

    [Fact]
    public void Noise_and_loops_are_warned_of_and_good_data_are_not()
    {
        var random = new Random(1);
        Report(() => random.Next(64)).Warnings.ShouldHaveSingleItem().ShouldContain("look like noise");
        var next = 0;
        Report(() => next++ % 20).Warnings.ShouldContain(warning => warning.Contains("repeats itself"));
        // Zipf's law, as words have it.
        Report(() => (int)Math.Pow(64, random.NextDouble()) - 1).Warnings.ShouldBeEmpty();

        static QualityReport Report(Func<int> token)
        {
            var meter = new QualityMeter(64);
            for (var row = 0; row < 50; row++)
            {
                int[] tokens = [.. Enumerable.Range(0, 100).Select(_ => token())];
                meter.Keep(tokens, SequenceQuality.Of(tokens, null));
            }
            return meter.Report();
        }
    }

    [Fact]
    public void A_report_of_nothing_is_made_of_zeros()
    {
        var report = new QualityMeter(8).Report();
        (report.Sampled, report.Kept, report.Repetition, report.Entropy, report.Distinct2).ShouldBe((0, 0, 0, 0, 0));
        report.Broken.ShouldBeNull();
    }

    [Theory]
    [InlineData(512, 0.1, 3, 0.0, null)]
    [InlineData(12, 0.1, 3, 0.0, DropReason.Short)]
    [InlineData(512, 0.6, 3, 0.0, DropReason.Repetition)]
    [InlineData(512, 0.1, 64, 0.0, null)]
    [InlineData(512, 0.1, 65, 0.0, DropReason.Run)]
    [InlineData(512, 0.1, 3, 0.1, null)]
    [InlineData(512, 0.1, 3, 0.11, DropReason.Broken)]
    [InlineData(512, 0.1, 3, null, null)]
    public void Degenerate_sequences_are_told_by_their_figures(int tokens, double repetition, int run, double? broken, DropReason? expected) =>
        Degeneracy.Judge(new SequenceQuality(tokens, repetition, run, broken), new SamplingOptions()).ShouldBe(expected);

    [Fact]
    public void Short_samples_are_not_short_sequences() =>
        Degeneracy.Judge(new SequenceQuality(8, 0, 1, 0), new SamplingOptions { Length = 8 }).ShouldBeNull();
}
