using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Recipes;
using Qbb.Synthdata.Data;
using Qbb.Synthdata.Quality;
using Qbb.Synthdata.Sampling;

namespace Qbb.Synthdata.Tests.Sampling;

public sealed class DataSamplerTests : IDisposable
{
    private static readonly SamplingOptions s_options = new() { Sequences = 10, Length = 20, ShardSize = 4, Seed = 3 };

    private readonly TemporaryFolder _folder = new();
    private readonly Transformer _model = Tiny.Model();

    [Fact]
    public void A_run_writes_shards_and_a_manifest_that_says_what_they_are()
    {
        var result = Run("data", s_options);
        result.ResumedShards.ShouldBe(0);
        result.DrawnTokens.ShouldBe(10 * 19);
        Files("data").ShouldBe(["manifest.json", "sequences-00000.safetensors", "sequences-00001.safetensors", "sequences-00002.safetensors"]);
        using var data = SampledData.Open(_folder["data"]);
        data.Count.ShouldBe(10);
        data.Manifest.Tokens.ShouldBe(200);
        data.Manifest.Shards.Select(shard => shard.Sequences).ShouldBe([4, 4, 2]);
        data.Manifest.Origin.ToJson().ShouldBe(result.Manifest.Origin.ToJson());
        data.Manifest.Origin.Teacher.ShouldBe(Tiny.Digest);
        data.Manifest.Origin.Options.ShouldBe(s_options);
        data.Manifest.Report.Sampled.ShouldBe(10);
        var sampler = new SequenceSampler(Tiny.Teacher(_model), s_options, FirstTokenLaw.Uniform(OrdinaryTokens.Of(null, Tiny.Vocabulary, [])));
        data[6].ShouldBe(sampler.Sample([6])[0]);
    }

    [Fact]
    public void Shards_are_the_same_bytes_whatever_the_batch()
    {
        var expected = Run("8", s_options, batch: 8).Manifest;
        foreach (var batch in new[] { 1, 3, 100 })
            Run($"{batch}", s_options, batch: batch).Manifest.Shards.ShouldBe(expected.Shards);
        File.ReadAllBytes(Path.Combine(_folder["1"], DataManifest.FileName)).ShouldBe(File.ReadAllBytes(Path.Combine(_folder["8"], DataManifest.FileName)));
    }

    /// <summary>Shards of four: several of a unit, one, and units of a part of one, the last of them shorter.</summary>
    [Theory]
    [InlineData(9, 2)]
    [InlineData(4, 3)]
    [InlineData(3, 5)]
    [InlineData(1, 10)]
    public void Units_become_the_same_data(int batch, int units)
    {
        Run("whole", s_options, batch);
        var sampler = new DataSampler(Tiny.Teacher(_model), s_options, batch);
        sampler.Units.ShouldBe(units);
        for (var unit = 0; unit < units; unit++)
        {
            var own = Directory.CreateDirectory(_folder[$"unit-{unit}"]).FullName;
            sampler.RunUnit(unit, own);
            Directory.CreateDirectory(_folder["joined"]);
            foreach (var file in Directory.GetFiles(own))
                File.Move(file, Path.Combine(_folder["joined"], Path.GetFileName(file)));
        }
        // Who puts them together has another batch.
        var joining = new DataSampler(Tiny.Teacher(_model), s_options, 8);
        joining.Join(_folder["joined"]);
        joining.Run(_folder["joined"]).DrawnTokens.ShouldBe(0);
        foreach (var file in Files("whole"))
            File.ReadAllBytes(Path.Combine(_folder["joined"], file)).ShouldBe(File.ReadAllBytes(Path.Combine(_folder["whole"], file)), file);
        Files("joined").ShouldBe(Files("whole"));
    }

    [Theory]
    [InlineData("deleted")]
    [InlineData("cut")]
    [InlineData("changed")]
    public void A_shard_that_is_missing_or_damaged_is_made_again(string harm)
    {
        var expected = Run("data", s_options).Manifest;
        var last = Path.Combine(_folder["data"], "sequences-00002.safetensors");
        var bytes = File.ReadAllBytes(last);
        if (harm == "deleted")
            File.Delete(last);
        else if (harm == "cut")
            File.WriteAllBytes(last, bytes[..^30]);
        else
            File.WriteAllBytes(last, [.. bytes[..^1], (byte)(bytes[^1] ^ 1)]);
        var again = Run("data", s_options, batch: 2);
        again.ResumedShards.ShouldBe(2);
        again.Manifest.Shards.ShouldBe(expected.Shards);
        File.ReadAllBytes(last).ShouldBe(bytes);
    }

    [Fact]
    public void A_killed_run_is_continued()
    {
        Run("whole", s_options);
        Run("killed", s_options);
        // What kill -9 leaves: finished shards, a part of the next one, no manifest.
        File.Delete(Path.Combine(_folder["killed"], DataManifest.FileName));
        File.Move(Path.Combine(_folder["killed"], "sequences-00002.safetensors"), Path.Combine(_folder["killed"], "sequences-00002.safetensors.partial"));
        Should.Throw<InvalidInputException>(() => SampledData.Open(_folder["killed"])).Message.ShouldContain("not finished");
        Run("killed", s_options).ResumedShards.ShouldBe(2);
        Files("killed").ShouldBe(Files("whole"));
        foreach (var file in Files("whole"))
            File.ReadAllBytes(Path.Combine(_folder["killed"], file)).ShouldBe(File.ReadAllBytes(Path.Combine(_folder["whole"], file)), file);
    }

    [Fact]
    public void A_finished_folder_is_left_as_it_is()
    {
        Run("data", s_options);
        var written = File.GetLastWriteTimeUtc(Path.Combine(_folder["data"], DataManifest.FileName));
        var again = Run("data", s_options);
        again.ResumedShards.ShouldBe(3);
        again.DrawnTokens.ShouldBe(0);
        File.GetLastWriteTimeUtc(Path.Combine(_folder["data"], DataManifest.FileName)).ShouldBe(written);
    }

    [Fact]
    public void Cancelling_keeps_finished_shards_and_nothing_half_written()
    {
        using var cancel = new CancellationTokenSource();
        Should.Throw<OperationCanceledException>(() => Sampler(s_options, batch: 4).Run(_folder["data"], progress: new Tell(progress =>
        {
            if (progress.Done > 100)
                cancel.Cancel();
        }), cancellation: cancel.Token));
        Files("data").ShouldBe(["sequences-00000.safetensors"]);
        Run("data", s_options).ResumedShards.ShouldBe(1);
    }

    [Fact]
    public void Progress_rises_to_its_total()
    {
        var told = new List<SampleProgress>();
        Sampler(s_options, batch: 4).Run(_folder["data"], progress: new Tell(told.Add));
        told.Select(progress => progress.Done).ShouldBeInOrder();
        told[^1].Done.ShouldBe(200);
        told.ShouldAllBe(progress => progress.Total == 200 && progress.Done <= 200 && progress.TokensPerSecond > 0);
    }

    [Fact]
    public void Other_options_are_refused_with_their_names_unless_forced()
    {
        Run("data", s_options);
        var refused = Should.Throw<InvalidInputException>(() => Run("data", s_options with { Seed = 4, Length = 21 })).Message;
        refused.ShouldContain("seed 3, now 4");
        refused.ShouldContain("length 20, now 21");
        Should.Throw<InvalidInputException>(() => new DataSampler(Tiny.Teacher(_model) with { Digest = Tiny.OtherDigest }, s_options, 4).Run(_folder["data"]))
            .Message.ShouldContain("teacher");
        // Also where the first run was not finished.
        File.Delete(Path.Combine(_folder["data"], DataManifest.FileName));
        Should.Throw<InvalidInputException>(() => Run("data", s_options with { Seed = 4 })).Message.ShouldContain("seed 3, now 4");
        File.WriteAllText(Path.Combine(_folder["data"], "note.txt"), "mine");
        var other = s_options with { Sequences = 4, Seed = 4 };
        Should.Throw<InvalidInputException>(() => Sampler(other).Run(_folder["data"], force: true)).Message.ShouldContain("contains note.txt");
        Files("data").ShouldContain("sequences-00002.safetensors");
        File.Delete(Path.Combine(_folder["data"], "note.txt"));
        Sampler(other).Run(_folder["data"], force: true).ResumedShards.ShouldBe(0);
        Files("data").ShouldBe(["manifest.json", "sequences-00000.safetensors"]);
    }

    [Fact]
    public void Degenerate_sequences_are_dropped_counted_and_stay_so_after_resuming()
    {
        var teacher = Tiny.Teacher(_model, null, 1, 2);
        var options = s_options with { Sequences = 12, Length = 40, StopAtEos = true };
        var manifest = new DataSampler(teacher, options, 5).Run(_folder["data"]).Manifest;
        manifest.Dropped.ShouldNotBeEmpty();
        manifest.Dropped.ShouldAllBe(sequence => sequence.Reason == DropReason.Short && sequence.Quality.Tokens < 16);
        (manifest.Sequences + manifest.Dropped.Count).ShouldBe(12);
        manifest.Report.Kept.ShouldBe(manifest.Sequences);
        manifest.Report.Warnings.ShouldContain(warning => warning.Contains("degenerate"));
        using (var data = SampledData.Open(_folder["data"]))
        {
            data.Sequences().ShouldAllBe(sequence => sequence.Length >= 16);
            data.Manifest.Tokens.ShouldBe(data.Sequences().Sum(sequence => sequence.Length));
        }
        File.Delete(Path.Combine(_folder["data"], "sequences-00001.safetensors"));
        var again = new DataSampler(teacher, options, 5).Run(_folder["data"]).Manifest;
        again.Dropped.ShouldBe(manifest.Dropped);
        again.Shards.ShouldBe(manifest.Shards);
    }

    [Fact]
    public void Data_of_nothing_but_degenerate_sequences_are_refused_and_removed()
    {
        var teacher = Tiny.Teacher(_model, null, [.. Enumerable.Range(2, Tiny.Vocabulary - 2)]);
        Should.Throw<InvalidInputException>(() => new DataSampler(teacher, s_options with { StopAtEos = true }, 5).Run(_folder["data"]))
            .Message.ShouldContain("all 10 sequences were degenerate");
        Directory.Exists(_folder["data"]).ShouldBeFalse();
    }

    [Fact]
    public void First_tokens_can_follow_earlier_data()
    {
        Run("earlier", s_options);
        using var earlier = SampledData.Open(_folder["earlier"]);
        var options = s_options with { First = FirstToken.Unigram, Seed = 11 };
        var seen = earlier.Sequences().SelectMany(sequence => sequence).ToHashSet();
        var manifest = new DataSampler(Tiny.Teacher(_model), options, 4, earlier).Run(_folder["data"]).Manifest;
        manifest.Origin.Earlier.ShouldBe(earlier.Digest);
        using var data = SampledData.Open(_folder["data"]);
        data.Sequences().ShouldAllBe(sequence => seen.Contains(sequence[0]));
        Should.Throw<InvalidInputException>(() => Run("x", options)).Message.ShouldContain("earlier data");
        Should.Throw<InvalidInputException>(() => new DataSampler(Tiny.Teacher(_model), s_options, 4, earlier).Run(_folder["x"])).Message.ShouldContain("earlier data");
        using var other = Tiny.Model(vocabulary: 32);
        Should.Throw<InvalidInputException>(() => new DataSampler(Tiny.Teacher(other), options, 4, earlier).Run(_folder["x"])).Message.ShouldContain("64 tokens");
    }

    [Fact]
    public void A_folder_of_something_else_or_in_use_is_refused()
    {
        File.WriteAllText(_folder["file"], "");
        Should.Throw<InvalidInputException>(() => Run("file", s_options)).Message.ShouldContain("is a file");
        Directory.CreateDirectory(_folder["home"]);
        File.WriteAllText(Path.Combine(_folder["home"], "letter.txt"), "");
        Should.Throw<InvalidInputException>(() => Run("home", s_options)).Message.ShouldContain("contains letter.txt");
        Files("home").ShouldBe(["letter.txt"]);
        var origin = Run("data", s_options).Manifest.Origin;
        using (DataFolder.Open(_folder["data"], origin, force: false))
            Should.Throw<InvalidInputException>(() => Run("data", s_options)).Message.ShouldContain("another process");
        Run("data", s_options).ResumedShards.ShouldBe(3);
    }

    [Fact]
    public void A_damaged_manifest_is_replaced_only_when_forced()
    {
        Run("data", s_options);
        File.WriteAllText(Path.Combine(_folder["data"], DataManifest.FileName), "{}");
        Should.Throw<InvalidInputException>(() => Run("data", s_options)).Message.ShouldContain("manifest is damaged");
        Sampler(s_options).Run(_folder["data"], force: true).ResumedShards.ShouldBe(0);
    }

    [Fact]
    public void Options_out_of_range_are_named()
    {
        void Refused(SamplingOptions options, string word, int batch = 4) =>
            Should.Throw<InvalidInputException>(() => Run("data", options, batch)).Message.ShouldContain(word);
        Refused(s_options with { Sequences = 0 }, "sequences is 0");
        Refused(s_options with { Length = 2 }, "length is 2");
        Refused(s_options with { ShardSize = 0 }, "shard-size is 0");
        Refused(s_options with { Temperature = -1 }, "temperature is -1");
        Refused(s_options with { TopK = -1 }, "top-k is -1");
        Refused(s_options with { TopP = 0 }, "top-p is 0");
        Refused(s_options with { MostRepetition = 0 }, "max-repetition is 0");
        Refused(s_options, "batch is 0", batch: 0);
        Refused(s_options with { StopAtEos = true }, "eos_token_id");
        Directory.Exists(_folder["data"]).ShouldBeFalse();
    }

    [Fact]
    public void A_default_batch_fits_the_cache() =>
        BatchSize.Default(_model.Config, 1 << 19, torch.CPU, ScalarType.Float32).ShouldBe(3);

    [Fact]
    public void A_batch_is_measured_by_its_first_steps()
    {
        var watch = System.Diagnostics.Stopwatch.StartNew();
        var seconds = Sampler(s_options with { Length = 4000 }).MeasureBatch();
        seconds.ShouldBeGreaterThan(watch.Elapsed.TotalSeconds, "eight tokens are drawn of four thousand");
        Directory.Exists(_folder["data"]).ShouldBeFalse();
        Sampler(s_options with { Length = 3 }).MeasureBatch().ShouldBeGreaterThanOrEqualTo(0);
    }

    public void Dispose()
    {
        _model.Dispose();
        _folder.Dispose();
    }

    private SamplingResult Run(string name, SamplingOptions options, int batch = 4) => Sampler(options, batch).Run(_folder[name]);

    private DataSampler Sampler(SamplingOptions options, int batch = 4) => new(Tiny.Teacher(_model), options, batch);

    private List<string> Files(string name) => [.. Directory.EnumerateFiles(_folder[name]).Select(file => Path.GetFileName(file)).Where(file => file != WrittenFiles.RecordName).Order(StringComparer.Ordinal)];

    private sealed class Tell(Action<SampleProgress> tell) : IProgress<SampleProgress>
    {
        public void Report(SampleProgress value) => tell(value);
    }
}
