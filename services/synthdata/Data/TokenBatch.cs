namespace Qbb.Synthdata.Data;

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
