namespace Qbb.Models.Tokenizers;

/// <summary>What to train.</summary>
/// <param name="VocabularySize">
/// Number of tokens in all: special ones, the 256 bytes, merges. Fewer come out where the text gives no more pairs.
/// </param>
public sealed record BpeTrainerOptions(int VocabularySize)
{
    /// <summary>Special tokens, which get the first ids in this order.</summary>
    public IReadOnlyList<string> SpecialTokens { get; init; } = [];

    /// <summary>The special token to put before every text, null for none.</summary>
    public string? BeginOfSequence { get; init; }

    /// <summary>The special token to put after every text, null for none (usual: a model says itself when it ends).</summary>
    public string? EndOfSequence { get; init; }

    /// <summary>Pairs that come less often are not merged.</summary>
    public int MinimumFrequency { get; init; } = 2;
}
