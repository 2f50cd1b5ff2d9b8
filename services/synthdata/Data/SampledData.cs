using System.Security.Cryptography;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Workers.Data;

namespace Qbb.Synthdata.Data;

/// <summary>
/// A finished folder of sampled sequences with its manifest: every shard is checked against its digest before it is read.
/// </summary>
public sealed class SampledData : SampledTokens
{
    private SampledData(string folder, DataManifest manifest, string digest) : base(digest, manifest.Origin.Teacher) =>
        (Folder, Manifest) = (folder, manifest);

    /// <summary>The folder as it was given.</summary>
    public string Folder { get; }

    public DataManifest Manifest { get; }

    /// <summary>Most tokens of a sequence.</summary>
    public int Length => Manifest.Origin.Options.Length;

    /// <summary>Tokens of the teacher's vocabulary: all ids lie below.</summary>
    public int VocabularySize => Manifest.Origin.VocabularySize;

    /// <summary>Opens a folder that <c>qbb sample</c> or <c>qbb filter</c> finished.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="cancellation">Stops between shards.</param>
    /// <exception cref="InvalidInputException">
    /// There is no manifest, or a shard is missing, damaged (digest), or does not agree with the manifest; the message names it.
    /// </exception>
    public static new SampledData Open(string folder, CancellationToken cancellation = default)
    {
        var path = Path.Combine(folder, DataManifest.FileName);
        if (!File.Exists(path))
            throw NoManifest(folder);
        var (manifest, bytes) = DataManifest.Read(path);
        if (manifest.Origin.Options.Length < 1 || manifest.Origin.VocabularySize < 1)
            throw new InvalidInputException($"{path}: is damaged: length and vocabulary must be positive", "sample the data anew");
        var data = new SampledData(folder, manifest, Convert.ToHexStringLower(SHA256.HashData(bytes)));
        try
        {
            foreach (var entry in manifest.Shards)
            {
                cancellation.ThrowIfCancellationRequested();
                data.Add(entry);
            }
            return data.Count == manifest.Sequences
                ? data
                : throw new InvalidInputException(
                    $"{path}: says {manifest.Sequences} sequences, the shards hold {data.Count}", "sample the data anew");
        }
        catch
        {
            data.Dispose();
            throw;
        }
    }

    /// <summary>The sequences of any rows, in the order given.</summary>
    public TokenBatch Batch(IReadOnlyList<int> indices)
    {
        int[] lengths = [.. indices.Select(LengthOf)];
        var width = lengths.DefaultIfEmpty(0).Max();
        var tokens = new long[indices.Count * width];
        var row = new int[width];
        for (var i = 0; i < indices.Count; i++)
        {
            Read(indices[i], row);
            for (var k = 0; k < width; k++)
                tokens[i * width + k] = row[k];
        }
        return new TokenBatch(indices, tokens, lengths, width);
    }

    /// <summary>All sequences in order, some at a time.</summary>
    public IEnumerable<TokenBatch> Batches(int size) => Enumerable.Range(0, Count).Chunk(size).Select(Batch);

    /// <summary>Refuses a model that is not the one that the data were sampled from.</summary>
    /// <param name="teacherDigest">Of <see cref="Models.Checkpoints.ModelDigest"/>.</param>
    /// <exception cref="InvalidInputException">The digests differ.</exception>
    public void CheckTeacher(string teacherDigest)
    {
        if (teacherDigest != TeacherDigest)
            throw new InvalidInputException(
                $"{Folder}: the data were sampled from another teacher (digest {Short(TeacherDigest)}, "
                + $"the model given has {Short(teacherDigest)}): give that teacher, or sample from this one");

        static string Short(string digest) => digest.Length > 12 ? digest[..12] + "…" : digest;
    }

    private void Add(ShardEntry entry)
    {
        if (entry.File != Path.GetFileName(entry.File) || entry.File.Length == 0)
            throw new InvalidInputException(
                $"{Folder}: the manifest names the shard \"{entry.File}\", which is not a plain file name; such data are refused");
        var path = Path.Combine(Folder, entry.File);
        if (!File.Exists(path))
            throw new InvalidInputException(
                $"{path}: the shard is missing", "run the same qbb sample again, which makes only what is missing");
        if (ShardFile.Sha256(path) != entry.Sha256)
            throw new InvalidInputException(
                $"{path}: the shard is damaged, its digest is not that of the manifest; "
                + "delete the file and run the same qbb sample again");
        var shard = ShardFile.Open(path, Length);
        Add(shard);
        if (shard.Count != entry.Sequences)
            throw new InvalidInputException(
                $"{path}: holds {shard.Count} sequences, the manifest says {entry.Sequences}", "sample the data anew");
        CheckTokens(shard, path);
    }

    /// <summary>An id outside the table is memory out of bounds on CUDA.</summary>
    private void CheckTokens(ShardFile shard, string path)
    {
        var tokens = new int[Length];
        for (var row = 0; row < shard.Count; row++)
        {
            shard.Read(row, tokens);
            foreach (var token in tokens)
            {
                if ((uint)token >= (uint)VocabularySize)
                    throw new InvalidInputException(
                        $"{path}: holds the token {token}, the vocabulary has {VocabularySize}", "sample the data anew");
            }
        }
    }

    private static InvalidInputException NoManifest(string folder)
    {
        if (!Directory.Exists(folder))
            return new($"{folder}: no such folder of sampled data");
        return ShardFile.In(folder).Any()
            ? new($"{folder}: has no {DataManifest.FileName}: sampling was not finished; run the same qbb sample again, which continues it")
            : new($"{folder}: has no {DataManifest.FileName}: it is not a folder of sampled data; create one with qbb sample TEACHER -o FOLDER");
    }
}

/// <summary>Some sequences, filled up on the right to the longest of them.</summary>
/// <param name="Indices">Which rows of the data.</param>
/// <param name="Tokens">[sequences, <paramref name="Width"/>] row by row; what fills up is a token of the vocabulary.</param>
/// <param name="Lengths">Tokens of each sequence.</param>
/// <param name="Width">The longest of them.</param>
public sealed record TokenBatch(IReadOnlyList<int> Indices, long[] Tokens, IReadOnlyList<int> Lengths, int Width)
{
    /// <summary>Number of sequences.</summary>
    public int Count => Indices.Count;
}
