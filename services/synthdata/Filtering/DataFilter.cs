using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Recipes;
using Qbb.Synthdata.Data;
using Qbb.Workers.Data;
using Qbb.Workers.Units;

namespace Qbb.Synthdata.Filtering;

/// <summary>
/// Keeps the sequences on which the student is farthest from its teacher (method.md, section 2), or as many at random. The data are
/// streamed in small batches; the new folder appears whole or not at all, and its manifest says what was kept.
/// </summary>
/// <param name="options">What to keep.</param>
public sealed class DataFilter(FilterOptions options)
{
    /// <summary>Filters data.</summary>
    /// <param name="data">The data.</param>
    /// <param name="models">Teacher and student; may be null for a random choice, which is then made without scores.</param>
    /// <param name="output">The folder to write.</param>
    /// <param name="force">Replace a folder that is there.</param>
    /// <param name="progress">Told after every batch.</param>
    /// <param name="cancellation">Stops between batches; nothing stays behind.</param>
    /// <returns>The manifest of the new data.</returns>
    /// <exception cref="InvalidInputException">
    /// The data are another teacher's, teacher and student do not fit, nothing would be left, or the output cannot be written.
    /// </exception>
    public DataManifest Run(SampledData data, ScoredPair? models, string output, bool force = false,
        IProgress<FilterProgress>? progress = null, CancellationToken cancellation = default)
    {
        options.Validate();
        WrittenFiles.CheckTarget(output, force, data.Folder);
        if (models is null && !options.Random)
            throw new InvalidInputException("a filter by discrepancy needs a teacher and a student");
        var count = Count(data);
        if (models is not null)
            Check(data, models);
        var scores = models is null ? null : Score(data, models, 0, data.Count, progress, cancellation);
        var kept = options.Random ? Selection.Random(data.Count, count, options.Seed) : Selection.Top(scores!, count);
        return Write(data, Record(data, models?.TeacherDigest, models?.StudentDigest, kept, scores), output, force, cancellation);
    }

    /// <summary>Scores a part of the data, as <see cref="Run"/> does all of it; a part that begins and ends between batches has the same scores.</summary>
    /// <param name="data">The data.</param>
    /// <param name="models">Teacher and student.</param>
    /// <param name="first">First sequence.</param>
    /// <param name="count">Sequences.</param>
    /// <param name="cancellation">Stops between batches.</param>
    /// <exception cref="InvalidInputException">The data are another teacher's, or teacher and student do not fit.</exception>
    public double[] Score(SampledData data, ScoredPair models, int first, int count, CancellationToken cancellation = default)
    {
        options.Validate();
        Check(data, models);
        return Score(data, models, first, count, null, cancellation);
    }

    /// <summary>Writes the data that are kept by scores that <see cref="Score(SampledData, ScoredPair, int, int, CancellationToken)"/> gave.</summary>
    /// <param name="data">The data.</param>
    /// <param name="scores">One per sequence.</param>
    /// <param name="teacherDigest">Of the models that they are of.</param>
    /// <param name="studentDigest">As the teacher's.</param>
    /// <param name="output">The folder to write.</param>
    /// <param name="cancellation">Stops between shards; nothing stays behind.</param>
    public DataManifest Keep(
        SampledData data, double[] scores, string teacherDigest, string studentDigest, string output, CancellationToken cancellation = default)
    {
        options.Validate();
        var kept = options.Random ? Selection.Random(data.Count, Count(data), options.Seed) : Selection.Top(scores, Count(data));
        return Write(data, Record(data, teacherDigest, studentDigest, kept, scores), output, force: false, cancellation);
    }

    private int Count(SampledData data)
    {
        var count = (int)Math.Round(options.Keep * data.Count, MidpointRounding.AwayFromZero);
        return count > 0 ? count : throw new InvalidInputException(
            $"keep {options.Keep} of {data.Count} sequences leaves nothing", "keep a larger share, or sample more");
    }

    private static void Check(SampledData data, ScoredPair models)
    {
        data.CheckTeacher(models.TeacherDigest);
        models.Check();
    }

    private double[] Score(
        SampledData data, ScoredPair models, int first, int count, IProgress<FilterProgress>? progress, CancellationToken cancellation)
    {
        var discrepancy = new Discrepancy(models.Teacher, models.Student, options.Measure);
        var scores = new List<double>(count);
        var sum = 0.0;
        foreach (var rows in Enumerable.Range(first, count).Chunk(options.Batch))
        {
            cancellation.ThrowIfCancellationRequested();
            var batch = data.Batch(rows);
            var added = discrepancy.Score(batch);
            TokenMetrics.Scored(batch.Lengths.Sum());
            scores.AddRange(added);
            sum += added.Sum();
            progress?.Report(new FilterProgress(scores.Count, count, sum / scores.Count));
        }
        return [.. scores];
    }

    private FilterRecord Record(SampledData data, string? teacherDigest, string? studentDigest, int[] kept, double[]? scores)
    {
        double[]? keptScores = scores is null ? null : [.. kept.Select(row => scores[row])];
        return new FilterRecord(
            data.Digest,
            data.Count,
            options.Keep,
            options.Random,
            options.Random ? options.Seed : null,
            scores is null ? null : options.Measure,
            teacherDigest,
            studentDigest,
            scores?.Average(),
            keptScores?.Average(),
            kept,
            keptScores);
    }

    private static DataManifest Write(SampledData data, FilterRecord record, string output, bool force, CancellationToken cancellation)
    {
        var target = Path.TrimEndingDirectorySeparator(Path.GetFullPath(output));
        var work = Path.Combine(Path.GetDirectoryName(target)!, $".{Path.GetFileName(target)}.{Guid.NewGuid():N}.partial");
        using var writer = ModelFolderWriter.Create(output, force, work);
        var origin = data.Manifest.Origin;
        var entries = new List<ShardEntry>();
        var tokens = 0L;
        foreach (var rows in record.Indices.Chunk(origin.Options.ShardSize))
        {
            cancellation.ThrowIfCancellationRequested();
            var sequences = rows.Select(row => data[row]).ToList();
            var path = Path.Combine(work, ShardFile.NameOf(entries.Count));
            ShardFile.Write(path, sequences, data.Length, origin.Options.StopAtEos, new Dictionary<string, string>());
            entries.Add(new ShardEntry(Path.GetFileName(path), sequences.Count, ShardFile.Sha256(path)));
            tokens += sequences.Sum(sequence => (long)sequence.Length);
        }
        var manifest = data.Manifest with { Sequences = record.Indices.Count, Tokens = tokens, Shards = entries, Filter = record };
        writer.WriteText(DataManifest.FileName, manifest.ToJson());
        writer.Commit();
        return manifest;
    }
}
