namespace Qbb.Models.Tokenizers;

/// <summary>What a name in tokenizer.ggml.pre stands for.</summary>
/// <param name="Patterns">Regular expressions whose matches are cut out, one after the other.</param>
/// <param name="UseRegex">GPT-2's own words after them.</param>
/// <param name="IgnoreMerges">A word that is a token is that token.</param>
/// <param name="AddBeginOfSequence">Whether a text begins with the BOS where the file does not say.</param>
internal sealed record GgufPreTokenizer(
    IReadOnlyList<string> Patterns, bool UseRegex = false, bool IgnoreMerges = false, bool AddBeginOfSequence = false);
