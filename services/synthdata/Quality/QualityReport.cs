namespace Qbb.Synthdata.Quality;

/// <summary>How good sampled data are. Figures are those of the sequences that were kept, unless they say otherwise.</summary>
/// <param name="Sampled">Sequences that were sampled.</param>
/// <param name="Kept">Sequences in the data.</param>
/// <param name="Repetition">Mean share of a sequence's 4-grams that stood in it before.</param>
/// <param name="Distinct1">Distinct tokens by all tokens.</param>
/// <param name="Distinct2">Distinct pairs by all pairs, over the first 16.8 million.</param>
/// <param name="Distinct3">Distinct triples by all triples, over the first 16.8 million.</param>
/// <param name="Entropy">Of the unigram distribution, in bits per token.</param>
/// <param name="Duplicates">Sequences that equal an earlier one.</param>
/// <param name="Broken">
/// Share of the sampled sequences, dropped ones counted, with characters that are no UTF-8; null without a tokenizer.
/// </param>
/// <param name="Warnings">What is bad, in words, with a remedy.</param>
public sealed record QualityReport(
    int Sampled,
    int Kept,
    double Repetition,
    double Distinct1,
    double Distinct2,
    double Distinct3,
    double Entropy,
    int Duplicates,
    double? Broken,
    IReadOnlyList<string> Warnings);
