using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Qbb.Checkpoints;
using Qbb.Models;

namespace Qbb.Workers.Data;

/// <summary>What a manifest says of one file of sequences.</summary>
/// <param name="File">Its name in the folder.</param>
/// <param name="Sequences">Its rows.</param>
/// <param name="Sha256">Of the file: 64 lower-case hexadecimal digits.</param>
public sealed record ShardEntry(string File, int Sequences, string Sha256);

/// <summary>
/// One file of sequences: <c>tokens</c> I32 [n, length] and, where sequences may end early, <c>lengths</c> I32 [n]. What stands in a row
/// behind its length only fills it up.
/// </summary>
public sealed class ShardFile : IDisposable
{
    private const string Tokens = "tokens";
    private const string Lengths = "lengths";

    private readonly SafetensorsFile _file;
    private readonly int[]? _lengths;

    private ShardFile(SafetensorsFile file, int count, int length)
    {
        (_file, Count, Length) = (file, count, length);
        if (!file.Contains(Lengths))
            return;
        Check(file, Lengths, [count]);
        _lengths = new int[count];
        file.ReadBytes(Lengths, 0, MemoryMarshal.AsBytes(_lengths.AsSpan()));
        if (Array.Exists(_lengths, value => value < 1 || value > length))
            throw new InvalidInputException($"{file.Path}: a sequence has no length in 1 … {length}; the file is damaged, make it again");
    }

    /// <summary>Rows.</summary>
    public int Count { get; }

    /// <summary>Tokens of a row, fill-up counted.</summary>
    public int Length { get; }

    public IReadOnlyDictionary<string, string> Metadata => _file.Metadata;

    public static string NameOf(int shard) => $"sequences-{shard:00000}.safetensors";

    /// <summary>The files that are shards by their names.</summary>
    public static IEnumerable<string> In(string folder) => Directory.EnumerateFiles(folder, "sequences-*.safetensors");

    /// <summary>Writes a shard; it appears whole or not at all.</summary>
    /// <param name="path">The file.</param>
    /// <param name="rows">The sequences, of 1 to <paramref name="length"/> tokens each.</param>
    /// <param name="length">Tokens of a stored row.</param>
    /// <param name="mayEndEarly">Store the lengths.</param>
    /// <param name="metadata">Goes into the header.</param>
    public static void Write(
        string path, IReadOnlyList<int[]> rows, int length, bool mayEndEarly, IReadOnlyDictionary<string, string> metadata)
    {
        List<TensorDeclaration> declarations = [new(Tokens, "I32", [rows.Count, length])];
        if (mayEndEarly)
            declarations.Add(new(Lengths, "I32", [rows.Count]));
        using var writer = SafetensorsWriter.Create(path, declarations, metadata);
        var stored = new int[length];
        foreach (var row in rows)
        {
            row.CopyTo(stored, 0);
            stored.AsSpan(row.Length).Fill(row[^1]);
            writer.WriteBytes(Tokens, MemoryMarshal.AsBytes(stored.AsSpan()));
        }
        if (mayEndEarly && rows.Count > 0)
            writer.WriteBytes(Lengths, MemoryMarshal.AsBytes(rows.Select(row => row.Length).ToArray().AsSpan()));
        writer.Commit();
    }

    /// <summary>Opens a shard.</summary>
    /// <param name="path">The file.</param>
    /// <param name="length">Tokens that a row must have; null for what it has.</param>
    /// <exception cref="InvalidInputException">The file is damaged or has other tensors.</exception>
    public static ShardFile Open(string path, int? length = null)
    {
        var file = SafetensorsFile.Open(path);
        try
        {
            var shape = file.Contains(Tokens) ? file.Describe(Tokens).Shape : [];
            if (shape.Count != 2 || shape[0] > int.MaxValue || shape[1] is < 1 or > int.MaxValue || shape[1] != (length ?? shape[1]))
                throw new InvalidInputException($"{path}: has no tensor {Tokens} [n, {length?.ToString(CultureInfo.InvariantCulture) ?? "length"}]; the file is damaged, make it again");
            Check(file, Tokens, shape);
            return new ShardFile(file, (int)shape[0], (int)shape[1]);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    public static string Sha256(string path)
    {
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 20, FileOptions.SequentialScan);
        return Convert.ToHexStringLower(SHA256.HashData(stream));
    }

    /// <summary>Tokens of one row, fill-up not counted.</summary>
    public int LengthOf(int row) => _lengths?[row] ?? Length;

    /// <summary>Reads the first tokens of a row, at most <see cref="Length"/>.</summary>
    public void Read(int row, Span<int> tokens) =>
        _file.ReadBytes(Tokens, (long)row * Length * sizeof(int), MemoryMarshal.AsBytes(tokens));

    public int[] Read(int row)
    {
        var tokens = new int[LengthOf(row)];
        Read(row, tokens);
        return tokens;
    }

    public void Dispose() => _file.Dispose();

    private static void Check(SafetensorsFile file, string name, IReadOnlyList<long> shape)
    {
        var entry = file.Describe(name);
        if (entry.Type != "I32" || !entry.Shape.SequenceEqual(shape))
            throw new InvalidInputException(
                $"{file.Path}: the tensor {name} is {entry.Type} [{string.Join(", ", entry.Shape)}], "
                + $"not I32 [{string.Join(", ", shape)}]; the file is damaged, make it again");
    }
}
