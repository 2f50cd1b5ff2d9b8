namespace Qbb.Synthdata.Quality;

/// <summary>Figures of one sequence.</summary>
/// <param name="Tokens">Its length.</param>
/// <param name="Repetition">
/// Share of its 4-grams that stood in it before: 1 − distinct/all (seq-rep-4 of Welleck et al. 2020); 0 below 4 tokens.
/// </param>
/// <param name="LongestRun">Most times that one token stands in a row.</param>
/// <param name="Broken">
/// Share of its characters that are no UTF-8 (U+FFFD once decoded), not counting a character that the sequence's end cuts; null without a
/// tokenizer.
/// </param>
public sealed record SequenceQuality(int Tokens, double Repetition, int LongestRun, double? Broken)
{
    private const int GramLength = 4;

    /// <param name="tokens">The sequence.</param>
    /// <param name="text">What it decodes to; null without a tokenizer.</param>
    public static SequenceQuality Of(ReadOnlySpan<int> tokens, string? text) =>
        new(tokens.Length, RepetitionOf(tokens), LongestRunOf(tokens), text is null ? null : BrokenOf(text));

    private static double RepetitionOf(ReadOnlySpan<int> tokens)
    {
        var all = tokens.Length - GramLength + 1;
        if (all < 1)
            return 0;
        var distinct = new HashSet<(int, int, int, int)>(all);
        for (var i = 0; i < all; i++)
            distinct.Add((tokens[i], tokens[i + 1], tokens[i + 2], tokens[i + 3]));
        return 1 - (double)distinct.Count / all;
    }

    private static int LongestRunOf(ReadOnlySpan<int> tokens)
    {
        var (longest, run) = (0, 0);
        for (var i = 0; i < tokens.Length; i++)
        {
            run = i > 0 && tokens[i] == tokens[i - 1] ? run + 1 : 1;
            longest = Math.Max(longest, run);
        }
        return longest;
    }

    private static double BrokenOf(string text)
    {
        const char replacement = '\uFFFD';
        // A character has four bytes at most: three of them may have been cut off from the fourth.
        for (var cut = 0; cut < 3 && text.EndsWith(replacement); cut++)
            text = text[..^1];
        return text.Length == 0 ? 0 : (double)text.Count(character => character == replacement) / text.Length;
    }
}
