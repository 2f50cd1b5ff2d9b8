using Qbb.Models;
using Qbb.Models.Checkpoints;
using Qbb.Synthdata.Data;

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
        CheckOutput(data.Folder, output, force);
        if (models is null && !options.Random)
            throw new InvalidInputException("a filter by discrepancy needs a teacher and a student");
        var count = (int)Math.Round(options.Keep * data.Count, MidpointRounding.AwayFromZero);
        if (count == 0)
            throw new InvalidInputException(
                $"keep {options.Keep} of {data.Count} sequences leaves nothing; keep a larger share, or sample more");
        if (models is not null)
        {
            data.CheckTeacher(models.TeacherDigest);
            models.Check();
        }
        var scores = models is null ? null : Score(data, models, progress, cancellation);
        var kept = options.Random ? Selection.Random(data.Count, count, options.Seed) : Selection.Top(scores!, count);
        return Write(data, Record(data, models, kept, scores), output, force, cancellation);
    }

    private double[] Score(SampledData data, ScoredPair models, IProgress<FilterProgress>? progress, CancellationToken cancellation)
    {
        var discrepancy = new Discrepancy(models.Teacher, models.Student, options.Measure);
        var scores = new List<double>(data.Count);
        var sum = 0.0;
        foreach (var batch in data.Batches(options.Batch))
        {
            cancellation.ThrowIfCancellationRequested();
            var added = discrepancy.Score(batch);
            scores.AddRange(added);
            sum += added.Sum();
            progress?.Report(new FilterProgress(scores.Count, data.Count, sum / scores.Count));
        }
        return [.. scores];
    }

    private FilterRecord Record(SampledData data, ScoredPair? models, int[] kept, double[]? scores)
    {
        double[]? keptScores = scores is null ? null : [.. kept.Select(row => scores[row])];
        return new FilterRecord(
            data.Digest,
            data.Count,
            options.Keep,
            options.Random,
            options.Random ? options.Seed : null,
            models is null ? null : options.Measure,
            models?.TeacherDigest,
            models?.StudentDigest,
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

    private static void CheckOutput(string data, string output, bool force)
    {
        static string Full(string path) => Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        if (Path.GetFileName(Full(output)).Length == 0)
            throw new InvalidInputException($"{output}: is no folder that can be made; give the output a name");
        if ((Full(data) + "/").StartsWith(Full(output) + "/", StringComparison.Ordinal))
            throw new InvalidInputException($"{output}: the output would replace the data that are filtered; choose another folder");
        ModelFolderWriter.CheckTarget(output, force);
    }
}
