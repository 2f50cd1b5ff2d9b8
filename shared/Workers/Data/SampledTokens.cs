using System.Security.Cryptography;
using System.Text.Json;
using Qbb.Models;

namespace Qbb.Workers.Data;

/// <summary>
/// A folder of sampled sequences, read by its format alone: manifest.json names the shards (<see cref="ShardFile"/>), which are mapped, so that
/// memory does not grow with the data. That the files are those that were stored is the artifact store's to verify. Reading is thread-safe.
/// </summary>
public class SampledTokens : IDisposable
{
    private readonly List<ShardFile> _shards = [];

    // The first row of each shard, and behind the last one the number of rows.
    private readonly List<int> _starts = [0];

    protected SampledTokens(string digest, string teacherDigest) => (Digest, TeacherDigest) = (digest, teacherDigest);

    /// <summary>SHA-256 of manifest.json, which holds the digests of the shards: the identity of the data.</summary>
    public string Digest { get; }

    /// <summary>Of the model that they were sampled from.</summary>
    public string TeacherDigest { get; }

    /// <summary>Number of sequences.</summary>
    public int Count => _starts[^1];

    /// <summary>A sequence without what fills it up.</summary>
    /// <param name="index">0 to <see cref="Count"/> − 1.</param>
    public int[] this[int index]
    {
        get
        {
            var (shard, row) = Find(index);
            return shard.Read(row);
        }
    }

    /// <exception cref="InvalidInputException">It is no such folder, or damaged.</exception>
    public static SampledTokens Open(string folder, CancellationToken cancellation = default)
    {
        var path = Path.Combine(folder, "manifest.json");
        SampledTokens? data = null;
        try
        {
            var bytes = File.ReadAllBytes(path);
            using var manifest = JsonDocument.Parse(bytes);
            var root = manifest.RootElement;
            data = new SampledTokens(
                Convert.ToHexStringLower(SHA256.HashData(bytes)), root.GetProperty("origin").GetProperty("teacher").GetString()!);
            foreach (var shard in root.GetProperty("shards").EnumerateArray())
            {
                cancellation.ThrowIfCancellationRequested();
                data.Add(ShardFile.Open(Path.Combine(folder, Path.GetFileName(shard.GetProperty("file").GetString()!))));
            }
            return data;
        }
        catch (Exception error)
        {
            data?.Dispose();
            if (error is JsonException or KeyNotFoundException or InvalidOperationException or IOException)
                throw new InvalidInputException($"{path}: is not a manifest of sampled data: {error.Message}", error);
            throw;
        }
    }

    /// <summary>Tokens of one sequence.</summary>
    public int LengthOf(int index)
    {
        var (shard, row) = Find(index);
        return shard.LengthOf(row);
    }

    /// <summary>Reads the first tokens of a sequence.</summary>
    /// <param name="index">0 to <see cref="Count"/> − 1.</param>
    /// <param name="tokens">At most what a row stores; what lies behind the sequence's end is filled with its last token.</param>
    public void Read(int index, Span<int> tokens)
    {
        var (shard, row) = Find(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(tokens.Length, shard.Length);
        shard.Read(row, tokens);
    }

    /// <summary>All sequences in order, without what fills them up.</summary>
    public IEnumerable<int[]> Sequences() => Enumerable.Range(0, Count).Select(index => this[index]);

    public void Dispose()
    {
        foreach (var shard in _shards)
            shard.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>Takes over the next shard.</summary>
    protected void Add(ShardFile shard)
    {
        _shards.Add(shard);
        _starts.Add(checked(_starts[^1] + shard.Count));
    }

    private (ShardFile Shard, int Row) Find(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, Count);
        var place = _starts.BinarySearch(index);
        // An empty shard begins where the next one does: the last that begins there has the row.
        var shard = place < 0 ? ~place - 1 : place;
        while (_starts[shard + 1] <= index)
            shard++;
        return (_shards[shard], index - _starts[shard]);
    }
}
