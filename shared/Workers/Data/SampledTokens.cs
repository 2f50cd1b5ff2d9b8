using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using Qbb.Checkpoints;
using Qbb.Models;

namespace Qbb.Workers.Data;

/// <summary>
/// Reads a folder of sampled sequences by its format alone: manifest.json names the shards; each has <c>tokens</c> I32 [n, length] and, where
/// sequences may end early, <c>lengths</c> I32 [n]. That the files are those that were stored is the artifact store's to verify.
/// </summary>
public sealed class SampledTokens : IDisposable
{
    private readonly List<SafetensorsFile> _shards = [];
    private readonly List<(int Shard, int Row, int Length)> _rows = [];

    private SampledTokens(string digest, string teacher) => (Digest, TeacherDigest) = (digest, teacher);

    /// <summary>SHA-256 of manifest.json: the identity of the data.</summary>
    public string Digest { get; }

    /// <summary>Of the model that they were sampled from.</summary>
    public string TeacherDigest { get; }

    /// <summary>Sequences.</summary>
    public int Count => _rows.Count;

    /// <exception cref="InvalidInputException">It is no such folder, or damaged.</exception>
    public static SampledTokens Open(string folder, CancellationToken cancellation = default)
    {
        var path = Path.Combine(folder, "manifest.json");
        try
        {
            var bytes = File.ReadAllBytes(path);
            using var manifest = JsonDocument.Parse(bytes);
            var root = manifest.RootElement;
            var data = new SampledTokens(
                Convert.ToHexStringLower(SHA256.HashData(bytes)), root.GetProperty("origin").GetProperty("teacher").GetString()!);
            foreach (var shard in root.GetProperty("shards").EnumerateArray())
            {
                cancellation.ThrowIfCancellationRequested();
                data.Add(Path.Combine(folder, Path.GetFileName(shard.GetProperty("file").GetString()!)));
            }
            return data;
        }
        catch (Exception error) when (error is JsonException or KeyNotFoundException or InvalidOperationException or IOException)
        {
            throw new InvalidInputException($"{path}: is no manifest of sampled data: {error.Message}", error);
        }
    }

    /// <summary>Tokens of one sequence.</summary>
    public int LengthOf(int index) => _rows[index].Length;

    /// <summary>The first tokens of one sequence, at most <see cref="LengthOf"/>.</summary>
    public void Read(int index, Span<int> ids)
    {
        var (shard, row, length) = _rows[index];
        ArgumentOutOfRangeException.ThrowIfGreaterThan(ids.Length, length);
        var stride = _shards[shard].Describe("tokens").Shape[1];
        _shards[shard].ReadBytes("tokens", row * stride * sizeof(int), MemoryMarshal.AsBytes(ids));
    }

    public void Dispose() => _shards.ForEach(shard => shard.Dispose());

    private void Add(string path)
    {
        var file = SafetensorsFile.Open(path);
        _shards.Add(file);
        var shape = file.Describe("tokens").Shape;
        var lengths = new int[shape[0]];
        Array.Fill(lengths, (int)shape[1]);
        if (file.Contains("lengths"))
            file.ReadBytes("lengths", 0, MemoryMarshal.AsBytes(lengths.AsSpan()));
        for (var row = 0; row < lengths.Length; row++)
            _rows.Add((_shards.Count - 1, row, lengths[row]));
    }
}
