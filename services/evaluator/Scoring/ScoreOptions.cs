using Qbb.Models;

namespace Qbb.Evaluator.Scoring;

/// <summary>What part of a text is scored, and how.</summary>
/// <param name="Context">Tokens of a window, at least 2.</param>
/// <param name="Windows">At most this many windows from the start; null for all.</param>
/// <param name="Batch">Windows that are run together.</param>
public sealed record ScoreOptions(int Context = 2048, int? Windows = null, int Batch = 1)
{
    /// <exception cref="InvalidInputException">An option is out of range; the message names it.</exception>
    public void Validate()
    {
        if (Context < 2)
            throw new InvalidInputException($"the context must be at least 2 tokens, not {Context}");
        if (Windows < 1)
            throw new InvalidInputException($"the number of windows must be at least 1, not {Windows}");
        if (Batch < 1)
            throw new InvalidInputException($"the batch must be at least 1, not {Batch}");
    }
}
