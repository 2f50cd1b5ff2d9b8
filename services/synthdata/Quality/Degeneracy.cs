using Qbb.Recipes;
using Qbb.Synthdata.Sampling;

namespace Qbb.Synthdata.Quality;

/// <summary>
/// Tells sequences that a student would learn nothing from, in this order: shorter than 16 tokens (where a sequence may end early); one
/// token in a row for more than an eighth of the asked length, and more than 16 times; a share of repeated 4-grams above
/// <see cref="SamplingOptions.MostRepetition"/>, which a loop reaches and text does not, not even where tokens are single characters; more
/// than a tenth of the characters no UTF-8.
/// </summary>
internal static class Degeneracy
{
    private const int LeastTokens = 16;
    private const int LeastRun = 16;
    private const int RunShare = 8;
    private const double MostBroken = 0.1;

    /// <summary>Why the sequence is left out; null for one that is kept.</summary>
    public static DropReason? Judge(SequenceQuality quality, SamplingOptions options)
    {
        if (quality.Tokens < Math.Min(LeastTokens, options.Length))
            return DropReason.Short;
        if (quality.LongestRun > Math.Max(LeastRun, options.Length / RunShare))
            return DropReason.Run;
        if (quality.Repetition > options.MostRepetition)
            return DropReason.Repetition;
        return quality.Broken > MostBroken ? DropReason.Broken : null;
    }
}
