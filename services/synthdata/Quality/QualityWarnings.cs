using Qbb.Synthdata.Data;

namespace Qbb.Synthdata.Quality;

/// <summary>Says in words which figures of a report are bad, and what to do.</summary>
internal static class QualityWarnings
{
    private const double MostDropped = 0.05;
    private const double MostRepetition = 0.35;
    private const double MostDuplicates = 0.01;
    private const double MostBroken = 0.05;
    private const double LeastEntropy = 3;
    private const double NoiseShare = 0.97;
    private const double LeastDistinct3 = 0.02;

    // Below it tokens are characters, whose triples repeat in the best of texts.
    private const int WordVocabulary = 4096;

    /// <param name="report">The figures.</param>
    /// <param name="dropped">What was left out.</param>
    /// <param name="tokens">Tokens that were kept.</param>
    /// <param name="vocabularySize">Of the teacher.</param>
    public static IEnumerable<string> For(QualityReport report, IReadOnlyList<DroppedSequence> dropped, long tokens, int vocabularySize)
    {
        if (dropped.Count > MostDropped * report.Sampled)
        {
            var reasons = string.Join(", ", dropped.CountBy(sequence => sequence.Reason).OrderBy(pair => pair.Key)
                .Select(pair => $"{pair.Value} {Say(pair.Key)}"));
            yield return $"{dropped.Count} of {report.Sampled} sequences are degenerate and were left out ({reasons}); "
                + "raise the temperature, or use another teacher";
        }
        if (report.Repetition > MostRepetition)
            yield return $"the text repeats itself: {100 * report.Repetition:0} % of the 4-grams stood in their sequence before; "
                + "raise the temperature or leave out top-k and top-p";
        if (report.Duplicates > MostDuplicates * report.Kept)
            yield return $"{report.Duplicates} of {report.Kept} sequences equal another one; "
                + "raise the temperature or leave out top-k and top-p";
        if (report.Broken > MostBroken)
            yield return $"{100 * report.Broken:0} % of the sequences contain invalid UTF-8; lower the temperature, "
                + "and see that tokenizer and model belong together";
        if (report.Kept > 0 && report.Entropy < LeastEntropy)
            yield return $"few tokens are used: the entropy is {report.Entropy:0.0} bits a token; "
                + "raise the temperature or leave out top-k and top-p";
        // As many different tokens as there can be: no law of a language is that flat.
        var flat = Math.Log2(Math.Min(vocabularySize, Math.Max(tokens, 2)));
        if (report.Entropy > NoiseShare * flat)
            yield return $"the tokens look like noise: the entropy of {report.Entropy:0.0} bits is nearly the {flat:0.0} of random "
                + "tokens; lower the temperature, and see that the teacher is a trained model";
        if (report.Distinct3 < LeastDistinct3 && report.Kept > 0 && vocabularySize >= WordVocabulary)
            yield return $"the text has little variety: {100 * report.Distinct3:0.0} % of the 3-grams are distinct; "
                + "raise the temperature or sample fewer sequences";
    }

    private static string Say(DropReason reason) => reason switch
    {
        DropReason.Short => "ended at once",
        DropReason.Run => "one token in a row",
        DropReason.Repetition => "loops",
        _ => "no UTF-8",
    };
}
