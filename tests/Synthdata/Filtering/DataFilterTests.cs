using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Recipes;
using Qbb.Synthdata.Data;
using Qbb.Synthdata.Filtering;
using Qbb.Synthdata.Sampling;

namespace Qbb.Synthdata.Tests.Filtering;

public sealed class DataFilterTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly Transformer _teacher = Tiny.Model(1);
    private readonly Transformer _student = Tiny.Model(2);
    private readonly List<int[]> _sequences = Tiny.RandomSequences(10, 12);
    private readonly SampledData _data;

    public DataFilterTests()
    {
        Tiny.WriteData(_folder["data"], _sequences, 12, 4);
        _data = SampledData.Open(_folder["data"]);
    }

    private ScoredPair Pair => new(_teacher, Tiny.Digest, _student, Tiny.OtherDigest);

    [Theory]
    [InlineData(Measure.Mse, 3)]
    [InlineData(Measure.Kl, 8)]
    public void The_sequences_of_the_largest_discrepancy_are_kept_and_recorded(Measure measure, int batch)
    {
        var scores = new Discrepancy(_teacher, _student, measure).Score(_data.Batch([.. Enumerable.Range(0, 10)]));
        int[] expected = [.. Enumerable.Range(0, 10).OrderByDescending(row => scores[row]).Take(5).Order()];
        var told = new List<FilterProgress>();
        var manifest = new DataFilter(new FilterOptions { Keep = 0.5, Measure = measure, Batch = batch }).Run(_data, Pair, _folder["out"], progress: new Tell(told.Add));
        told[^1].ShouldBe(new FilterProgress(10, 10, told[^1].MeanScore));
        told[^1].MeanScore.ShouldBe(scores.Average(), 1e-6);
        using var filtered = SampledData.Open(_folder["out"]);
        filtered.Sequences().ShouldBe(expected.Select(row => _sequences[row]));
        filtered.Manifest.Shards.Select(shard => shard.Sequences).ShouldBe([4, 1]);
        filtered.Manifest.Tokens.ShouldBe(60);
        filtered.CheckTeacher(Tiny.Digest);
        var record = filtered.Manifest.Filter!;
        record.Source.ShouldBe(_data.Digest);
        record.SourceSequences.ShouldBe(10);
        record.Measure.ShouldBe(measure);
        (record.Keep, record.Random, record.Seed).ShouldBe((0.5, false, null));
        (record.Teacher, record.Student).ShouldBe((Tiny.Digest, Tiny.OtherDigest));
        record.Indices.ShouldBe(expected);
        record.Scores!.ShouldBe(expected.Select(row => scores[row]), 1e-6);
        record.MeanScore!.Value.ShouldBe(scores.Average(), 1e-6);
        record.MeanKeptScore!.Value.ShouldBe(expected.Average(row => scores[row]), 1e-6);
        filtered.Manifest.ToJson().ShouldBe(manifest.ToJson());
        // Filtered data can be filtered again.
        new DataFilter(new FilterOptions { Keep = 0.2 }).Run(filtered, Pair, _folder["twice"]).Filter!.Source.ShouldBe(filtered.Digest);
    }

    [Fact]
    public void A_random_choice_follows_its_seed_and_can_be_scored()
    {
        FilterRecord Run(string output, ulong seed, ScoredPair? models) =>
            new DataFilter(new FilterOptions { Keep = 0.5, Random = true, Seed = seed }).Run(_data, models, _folder[output]).Filter!;
        var plain = Run("plain", 1, null);
        (plain.Random, plain.Seed, plain.Measure, plain.Teacher, plain.Student).ShouldBe((true, 1UL, null, null, null));
        plain.Scores.ShouldBeNull();
        plain.Indices.Count.ShouldBe(5);
        plain.Indices.Distinct().Order().ShouldBe(plain.Indices);
        var scored = Run("scored", 1, Pair);
        scored.Indices.ShouldBe(plain.Indices);
        scored.Scores!.Count.ShouldBe(5);
        scored.Student.ShouldBe(Tiny.OtherDigest);
        Run("other", 2, null).Indices.ShouldNotBe(plain.Indices);
        using var filtered = SampledData.Open(_folder["plain"]);
        filtered.Sequences().ShouldBe(plain.Indices.Select(row => _sequences[row]));
    }

    [Fact]
    public void Every_random_choice_is_alike_and_ties_go_to_the_first()
    {
        Selection.Top([1, 3, 3, 2, 3], 2).ShouldBe([1, 2]);
        Selection.Random(4, 4, 0).ShouldBe([0, 1, 2, 3]);
        var choices = Enumerable.Range(0, 6000).Select(seed => string.Join("", Selection.Random(4, 2, (ulong)seed))).CountBy(choice => choice).ToList();
        choices.Count.ShouldBe(6);
        choices.ShouldAllBe(choice => choice.Value > 850 && choice.Value < 1150);
    }

    [Theory]
    [InlineData(0.0)]
    [InlineData(-0.5)]
    [InlineData(1.01)]
    [InlineData(double.NaN)]
    public void A_share_outside_0_to_1_is_refused(double keep) => Refused(new FilterOptions { Keep = keep }, Pair, "keep is");

    [Fact]
    public void All_can_be_kept() =>
        new DataFilter(new FilterOptions { Keep = 1 }).Run(_data, Pair, _folder["out"]).Sequences.ShouldBe(10);

    [Fact]
    public void A_filter_that_leaves_nothing_is_refused() => Refused(new FilterOptions { Keep = 0.04 }, Pair, "leaves nothing");

    [Fact]
    public void Data_of_another_teacher_are_refused() =>
        Refused(new FilterOptions(), Pair with { TeacherDigest = Tiny.OtherDigest }, "another teacher");

    [Fact]
    public void A_student_of_another_shape_is_refused()
    {
        using Transformer vocabulary = Tiny.Model(vocabulary: 65), hidden = Tiny.Model(hidden: 16);
        Refused(new FilterOptions(), Pair with { Student = vocabulary }, "differ in the vocabulary: 64 and 65 tokens");
        Refused(new FilterOptions(), Pair with { Student = hidden }, "differ in the hidden size: 32 and 16");
    }

    [Fact]
    public void Models_are_needed_to_measure_a_discrepancy() => Refused(new FilterOptions(), null, "needs a teacher and a student");

    [Fact]
    public void A_batch_out_of_range_is_refused() => Refused(new FilterOptions { Batch = 0 }, Pair, "batch is 0");

    [Fact]
    public void The_data_are_not_replaced_by_their_filter()
    {
        foreach (var force in new[] { false, true })
            Should.Throw<InvalidInputException>(() => new DataFilter(new FilterOptions()).Run(_data, Pair, _folder["data"], force)).Message.ShouldContain("would replace its source");
    }

    [Fact]
    public void An_output_that_is_there_is_replaced_only_when_forced()
    {
        var filter = new DataFilter(new FilterOptions { Keep = 0.3 });
        filter.Run(_data, Pair, _folder["out"]);
        Should.Throw<InvalidInputException>(() => filter.Run(_data, Pair, _folder["out"])).Message.ShouldContain("--force");
        new DataFilter(new FilterOptions { Keep = 0.8 }).Run(_data, Pair, _folder["out"], force: true).Sequences.ShouldBe(8);
        using var filtered = SampledData.Open(_folder["out"]);
        filtered.Count.ShouldBe(8);
        // A folder of filtered data is not continued by sampling.
        Should.Throw<InvalidInputException>(() => DataFolder.Open(_folder["out"], filtered.Manifest.Origin, force: false)).Message.ShouldContain("filtered");
    }

    [Fact]
    public void Cancelling_leaves_nothing()
    {
        using var cancel = new CancellationTokenSource();
        Should.Throw<OperationCanceledException>(() => new DataFilter(new FilterOptions { Batch = 2 }).Run(_data, Pair, _folder["out"], progress: new Tell(_ => cancel.Cancel()), cancellation: cancel.Token));
        Directory.EnumerateFileSystemEntries(Path.GetDirectoryName(_folder["out"])!).Select(Path.GetFileName).ShouldBe(["data"]);
    }

    public void Dispose()
    {
        _data.Dispose();
        _teacher.Dispose();
        _student.Dispose();
        _folder.Dispose();
    }

    private void Refused(FilterOptions options, ScoredPair? models, string word)
    {
        Should.Throw<InvalidInputException>(() => new DataFilter(options).Run(_data, models, _folder["out"])).Message.ShouldContain(word);
        Directory.Exists(_folder["out"]).ShouldBeFalse();
    }

    private sealed class Tell(Action<FilterProgress> tell) : IProgress<FilterProgress>
    {
        public void Report(FilterProgress value) => tell(value);
    }
}
