namespace Qbb.Bases.Cpu;

/// <summary>One product of up to <see cref="MostTokens"/> tokens; what all threads share.</summary>
/// <param name="weights">The packed weight.</param>
/// <param name="tokens">1 to <see cref="MostTokens"/>.</param>
/// <param name="tables">Lookup tables of token 0; their form is the kernel's.</param>
/// <param name="tableBytes">Bytes from one token's tables to the next.</param>
/// <param name="sums">Σx of every segment, [tokens, segments].</param>
/// <param name="scales">What the sums of a segment are multiplied with, [tokens, segments]; null for 1.</param>
/// <param name="output">y, [tokens, rows padded to tiles].</param>
/// <param name="outputStride">Floats from one token's output to the next.</param>
internal readonly unsafe struct TileJob(
    PackedBases weights, int tokens, byte* tables, long tableBytes, float* sums, float* scales, float* output, long outputStride)
{
    /// <summary>Tokens whose tables of one panel fit a first-level cache of 32 KB together.</summary>
    public const int MostTokens = 8;

    public readonly PackedBases Weights = weights;
    public readonly int Tokens = tokens;
    public readonly float* Sums = sums;
    public readonly float* Scales = scales;

    public TileLayout Layout => Weights.Layout;

    /// <summary>The tables of a token from a word of 32 columns on.</summary>
    public byte* Tables(int token, int word, int bytesPerWord) => tables + token * tableBytes + (long)word * bytesPerWord;

    /// <summary>y of a token in a tile.</summary>
    public float* Output(int token, int tile) => output + token * outputStride + tile * TileLayout.TileRows;
}
