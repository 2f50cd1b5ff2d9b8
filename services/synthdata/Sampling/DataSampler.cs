using System.Diagnostics;
using Qbb.Models;
using Qbb.Recipes;
using Qbb.Synthdata.Data;
using Qbb.Synthdata.Quality;
using Qbb.Workers.Data;

namespace Qbb.Synthdata.Sampling;

/// <summary>
/// Samples sequences from a teacher into a folder of shards. Every finished shard is on disk at once: after an interruption, kill -9
/// included, the same call continues where it stopped. The manifest comes last; a folder without one is not finished.
/// </summary>
/// <param name="teacher">The model.</param>
/// <param name="options">What to sample.</param>
/// <param name="batch">Sequences that are sampled together; the tokens do not depend on it but for rounding.</param>
/// <param name="earlier">The data whose unigram distribution first tokens follow; null for the uniform one.</param>
public sealed class DataSampler(Teacher teacher, SamplingOptions options, int batch, SampledData? earlier = null)
{
    private const int MostBatch = 1 << 16;

    /// <summary>Tokens of the sequences of a trial.</summary>
    private const int TrialLength = 8;

    /// <summary>Samples what is missing in the folder.</summary>
    /// <param name="folder">Made if need be.</param>
    /// <param name="force">Replace data of another origin.</param>
    /// <param name="progress">Told about once for every step of a batch.</param>
    /// <param name="cancellation">Stops between two tokens; finished shards stay for the next run.</param>
    /// <exception cref="InvalidInputException">
    /// Options, teacher, earlier data or folder cannot be used, or every sequence was degenerate.
    /// </exception>
    public SamplingResult Run(
        string folder, bool force = false, IProgress<SampleProgress>? progress = null, CancellationToken cancellation = default)
    {
        Validate();
        var (sampler, origin) = (Sampler(), Origin());
        using var data = DataFolder.Open(folder, origin, force);
        var finished = data.TryReadManifest();
        var shards = Enumerable.Range(0, options.Shards).Select(shard => TryResume(data, origin, shard, finished)).ToArray();
        var missing = Enumerable.Range(0, shards.Length).Where(shard => shards[shard] is null).ToList();
        if (finished is not null && missing.Count == 0)
            return new SamplingResult(folder, finished, shards.Length, 0, 0);
        data.RemoveManifest();
        var meter = new Meter(missing.Sum(shard => SampledShard.Indices(options, shard).LongCount()) * options.Length, progress);
        foreach (var together in missing.GroupBy(shard => shard / ShardsOfBatch).Select(group => group.ToArray()))
        {
            foreach (var (shard, sequences) in Sample(sampler, together, meter, cancellation))
                shards[shard] = Write(data.ShardPath(shard), origin, sequences);
        }
        var manifest = Manifest(origin, shards!, cancellation);
        if (manifest.Sequences == 0)
        {
            data.RemoveData();
            throw new InvalidInputException(
                $"all {options.Sequences} sequences were degenerate, nothing is left as data: "
                + $"{string.Join("; ", manifest.Report.Warnings)}");
        }
        manifest.Write(folder);
        return new SamplingResult(folder, manifest, shards.Length - missing.Count, meter.Drawn, meter.Seconds);
    }

    /// <summary>Units that are sampled by themselves: each of as many shards as are sampled together, or of a part of one.</summary>
    public int Units => PartsOfShard == 1 ? (options.Shards + ShardsOfBatch - 1) / ShardsOfBatch
        : (options.Shards - 1) * PartsOfShard + (SampledShard.Indices(options, options.Shards - 1).Count() + batch - 1) / batch;

    private int ShardsOfBatch => Math.Max(1, batch / options.ShardSize);

    private int PartsOfShard => (options.ShardSize + batch - 1) / batch;

    /// <summary>Samples one unit into a folder, where <see cref="Run"/> finds it once those of all units are there and are joined.</summary>
    /// <param name="unit">0 to <see cref="Units"/> − 1.</param>
    /// <param name="folder">A folder of its own, that is there.</param>
    /// <param name="cancellation">Stops between two tokens.</param>
    /// <exception cref="InvalidInputException">Options, teacher or earlier data cannot be used.</exception>
    public void RunUnit(int unit, string folder, CancellationToken cancellation = default)
    {
        Validate();
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(unit, Units);
        var (origin, meter) = (Origin(), new Meter(0, null));
        if (PartsOfShard > 1)
        {
            var (whole, part) = Math.DivRem(unit, PartsOfShard);
            long[] indices = [.. SampledShard.Indices(options, whole).Skip(part * batch).Take(batch)];
            var sequences = Sampler().Sample(indices, null, cancellation);
            Write(Path.Combine(folder, SampledShard.PartOf(whole, part)), origin, [.. indices.Zip(sequences)]);
            return;
        }
        var first = unit * ShardsOfBatch;
        int[] shards = [.. Enumerable.Range(first, Math.Min(ShardsOfBatch, options.Shards - first))];
        foreach (var (shard, sequences) in Sample(Sampler(), shards, meter, cancellation))
            Write(Path.Combine(folder, ShardFile.NameOf(shard)), origin, sequences);
    }

    /// <summary>Seconds that this machine takes to sample a whole batch, by its first steps.</summary>
    public double MeasureBatch(CancellationToken cancellation = default)
    {
        Validate();
        var length = Math.Min(options.Length, TrialLength);
        var sampler = Sampler(options with { Length = length });
        var count = Math.Min(batch, options.Sequences);
        var (drawn, first, last) = (0L, 0L, 0L);
        sampler.Sample([.. Enumerable.Range(0, count).Select(k => (long)k)], () =>
        {
            last = Stopwatch.GetTimestamp();
            // The first step also takes what is done once.
            if (++drawn == count)
                first = last;
        }, cancellation);
        return drawn <= count ? 0 : Stopwatch.GetElapsedTime(first, last).TotalSeconds / (drawn - count) * count * options.Length;
    }

    /// <summary>Makes shards of their parts, where units were smaller.</summary>
    /// <param name="folder">With the files of all units.</param>
    /// <exception cref="InvalidInputException">A part is missing or damaged.</exception>
    public void Join(string folder)
    {
        var origin = Origin();
        foreach (var (shard, parts) in SampledShard.PartsIn(folder, options.Shards))
        {
            var sequences = parts.ConvertAll(part => SampledShard.Read(part, origin));
            if (sequences.Sum(part => part.Kept.Count + part.Dropped.Count) != SampledShard.Indices(options, shard).Count())
                throw new InvalidInputException($"{folder}: a part of {ShardFile.NameOf(shard)} is missing", "sample the data anew");
            SampledShard.Write(
                Path.Combine(folder, ShardFile.NameOf(shard)), origin, [.. sequences.SelectMany(part => part.Kept)], [.. sequences.SelectMany(part => part.Dropped)]);
            parts.ForEach(File.Delete);
        }
    }

    private SamplingOrigin Origin() => new(
        teacher.Digest, teacher.Model.Config.VocabularySize, teacher.Tokenizer?.Digest, teacher.Model.DType.ShortName(),
        options.StopAtEos ? [.. teacher.StopIds.Order()] : [], earlier?.Digest, options);

    private SequenceSampler Sampler() => Sampler(options);

    private SequenceSampler Sampler(SamplingOptions how)
    {
        var ordinary = OrdinaryTokens.Of(teacher.Tokenizer, teacher.Model.Config.VocabularySize, teacher.StopIds);
        return new SequenceSampler(teacher, how, earlier is null ? FirstTokenLaw.Uniform(ordinary) : FirstTokenLaw.Unigram(ordinary, earlier));
    }

    private void Validate()
    {
        options.Validate();
        if (batch is < 1 or > MostBatch)
            throw new InvalidInputException($"batch is {batch}; it must be 1 to {MostBatch}");
        if (options.StopAtEos && teacher.StopIds.Count == 0)
            throw new InvalidInputException(
                "the teacher names no eos_token_id in generation_config.json or config.json", "leave out --stop-at-eos");
        var config = teacher.Model.Config;
        if (config.LearnedPositions && options.Length > config.MaxPositions)
            throw new InvalidInputException(
                $"length is {options.Length}, but the teacher has {config.MaxPositions} positions", "sample shorter sequences");
        if ((options.First == FirstToken.Unigram) != (earlier is not null))
            throw new InvalidInputException("first unigram needs earlier data, whose law it follows, and first uniform takes none");
        if (earlier is null)
            return;
        if (earlier.VocabularySize != config.VocabularySize || earlier.Manifest.Origin.Tokenizer != teacher.Tokenizer?.Digest)
            throw new InvalidInputException(
                $"{earlier.Folder}: the earlier data are of another tokenizer or vocabulary ({earlier.VocabularySize} tokens, "
                + $"the teacher has {config.VocabularySize}); give data of this teacher");
    }

    private static SampledShard? TryResume(DataFolder data, SamplingOrigin origin, int shard, DataManifest? finished)
    {
        var path = data.ShardPath(shard);
        var found = SampledShard.TryRead(path, origin, shard);
        var isDamaged = found is not null && finished is not null
            && finished.Shards.FirstOrDefault(entry => entry.File == Path.GetFileName(path))?.Sha256 != ShardFile.Sha256(path);
        return isDamaged ? null : found;
    }

    private IEnumerable<(int Shard, List<(long Index, int[] Tokens)> Sequences)> Sample(
        SequenceSampler sampler, int[] shards, Meter meter, CancellationToken cancellation)
    {
        var sampled = new Dictionary<long, int[]>();
        foreach (var indices in shards.SelectMany(shard => SampledShard.Indices(options, shard)).Chunk(batch))
        {
            var sequences = sampler.Sample(indices, () => meter.Draw(indices.Length), cancellation);
            meter.Finish(indices.Length * (long)options.Length);
            for (var i = 0; i < indices.Length; i++)
                sampled[indices[i]] = sequences[i];
        }
        foreach (var shard in shards)
            yield return (shard, [.. SampledShard.Indices(options, shard).Select(index => (index, sampled[index]))]);
    }

    private SampledShard Write(string path, SamplingOrigin origin, List<(long Index, int[] Tokens)> sequences)
    {
        var kept = new List<int[]>();
        var dropped = new List<DroppedSequence>();
        foreach (var (index, tokens) in sequences)
        {
            var quality = QualityOf(tokens);
            if (Degeneracy.Judge(quality, options) is { } reason)
                dropped.Add(new DroppedSequence(index, reason, quality));
            else
                kept.Add(tokens);
        }
        SampledShard.Write(path, origin, kept, dropped);
        return new SampledShard(path, dropped);
    }

    private DataManifest Manifest(SamplingOrigin origin, SampledShard[] shards, CancellationToken cancellation)
    {
        var quality = new QualityMeter(origin.VocabularySize);
        var entries = new List<ShardEntry>();
        foreach (var shard in shards)
        {
            cancellation.ThrowIfCancellationRequested();
            using var file = ShardFile.Open(shard.Path, options.Length);
            for (var row = 0; row < file.Count; row++)
            {
                var tokens = file.Read(row);
                quality.Keep(tokens, QualityOf(tokens));
            }
            foreach (var dropped in shard.Dropped)
                quality.Drop(dropped);
            entries.Add(new ShardEntry(Path.GetFileName(shard.Path), file.Count, ShardFile.Sha256(shard.Path)));
        }
        return new DataManifest(
            DataManifest.CurrentFormat, origin, quality.Kept, quality.Tokens, entries, quality.Dropped, quality.Report(), Filter: null);
    }

    private SequenceQuality QualityOf(int[] tokens) =>
        SequenceQuality.Of(tokens, teacher.Tokenizer?.Decode(tokens.AsSpan(), skipSpecialTokens: true));

    /// <summary>Counts tokens and tells of them.</summary>
    private sealed class Meter(long total, IProgress<SampleProgress>? progress)
    {
        private readonly Stopwatch _watch = Stopwatch.StartNew();
        private long _finished;
        private long _inBatch;

        public long Drawn { get; private set; }

        public double Seconds => _watch.Elapsed.TotalSeconds;

        public void Draw(int batch)
        {
            Drawn++;
            if (++_inBatch % batch == 0)
                Report(_finished + _inBatch);
        }

        public void Finish(long tokens)
        {
            _finished += tokens;
            _inBatch = 0;
            Report(_finished);
        }

        private void Report(long done) => progress?.Report(new SampleProgress(done, total, Drawn / Math.Max(Seconds, 1e-9)));
    }
}
