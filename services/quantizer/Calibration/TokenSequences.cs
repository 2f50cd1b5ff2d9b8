using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Qbb.Models;
using Qbb.Quantizer.Distillation;

namespace Qbb.Quantizer.Calibration;

/// <summary>Sequences in memory, such as a text cut into pieces.</summary>
public sealed class TokenSequences : ITokenSequences
{
    private readonly int[][] _sequences;

    /// <param name="sequences">At least 2 tokens each.</param>
    public TokenSequences(IEnumerable<int[]> sequences)
    {
        _sequences = [.. sequences];
        if (_sequences.Any(sequence => sequence.Length < 2))
            throw new InvalidInputException("a sequence to distil on needs at least 2 tokens");
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var sequence in _sequences)
        {
            hash.AppendData(BitConverter.GetBytes(sequence.Length));
            hash.AppendData(MemoryMarshal.AsBytes<int>(sequence));
        }
        Digest = Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>Cuts a text into sequences that do not overlap; what is left over at the end is dropped.</summary>
    /// <param name="ids">The tokens of the whole text.</param>
    /// <param name="length">Tokens of a sequence, at least 2.</param>
    /// <exception cref="InvalidInputException">The length is below 2, or the text is shorter than two sequences.</exception>
    public static TokenSequences Cut(int[] ids, int length)
    {
        if (length < 2)
            throw new InvalidInputException($"--length is {length}; a sequence needs at least 2 tokens");
        if (ids.Length < 2L * length)
        {
            throw new InvalidInputException(
                $"the text has {ids.Length} tokens, less than two sequences of {length} (one to train on, one to hold out): give more text or "
                + "a smaller --length");
        }
        return new TokenSequences(Enumerable.Range(0, ids.Length / length).Select(k => ids[(k * length)..((k + 1) * length)]));
    }

    public int Count => _sequences.Length;

    public string Digest { get; }

    public string? TeacherDigest => null;

    public int LengthOf(int index) => _sequences[index].Length;

    public void Read(int index, Span<int> ids) => _sequences[index].CopyTo(ids);
}

/// <summary>Sequences of tokens to distil on. Reading the same index gives the same tokens each time.</summary>
public interface ITokenSequences
{
    int Count { get; }

    /// <summary>Tokens of one sequence, at least 2.</summary>
    int LengthOf(int index);

    /// <summary>Writes the tokens of one sequence.</summary>
    /// <param name="index">Which.</param>
    /// <param name="ids">As many as <see cref="LengthOf"/> says.</param>
    void Read(int index, Span<int> ids);

    /// <summary>Identity of all tokens: lower-case hexadecimal SHA-256.</summary>
    string Digest { get; }

    /// <summary>Digest of the model that sampled them; null for text.</summary>
    string? TeacherDigest { get; }
}

/// <summary>Which of many sequences are used where fewer are wanted.</summary>
public static class EvenSpread
{
    /// <summary>Indices of <paramref name="count"/> of <paramref name="all"/> sequences, ascending, spread evenly.</summary>
    public static IEnumerable<int> Of(int count, int all) => Enumerable.Range(0, count).Select(k => (int)((long)k * all / count));
}

/// <summary>Some sequences of others.</summary>
internal sealed class SequenceSubset(ITokenSequences all, int[] indices) : ITokenSequences
{
    public int Count => indices.Length;

    public string Digest => $"{all.Digest}/{string.Join(',', indices)}";

    public string? TeacherDigest => all.TeacherDigest;

    public int LengthOf(int index) => all.LengthOf(indices[index]);

    public void Read(int index, Span<int> ids) => all.Read(indices[index], ids);
}
