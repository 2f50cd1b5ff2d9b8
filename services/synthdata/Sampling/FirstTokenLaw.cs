using Qbb.Models;
using Qbb.Synthdata.Data;

namespace Qbb.Synthdata.Sampling;

/// <summary>Draws the random token that a sequence begins with.</summary>
internal sealed class FirstTokenLaw
{
    private readonly IReadOnlyList<int> _ids;

    // Of the ids up to this one, how often they were seen; null for the uniform law.
    private readonly long[]? _sums;

    private FirstTokenLaw(IReadOnlyList<int> ids, long[]? sums) => (_ids, _sums) = (ids, sums);

    public static FirstTokenLaw Uniform(IReadOnlyList<int> ordinary) => new(ordinary, null);

    /// <summary>The law of the tokens at all places of earlier data, ordinary ones only.</summary>
    /// <exception cref="InvalidInputException">The data hold no ordinary token.</exception>
    public static FirstTokenLaw Unigram(IReadOnlyList<int> ordinary, SampledData earlier)
    {
        var counts = new long[earlier.VocabularySize];
        foreach (var sequence in earlier.Sequences())
        {
            foreach (var token in sequence)
                counts[token]++;
        }
        var sums = new long[ordinary.Count];
        var sum = 0L;
        for (var i = 0; i < sums.Length; i++)
            sums[i] = sum += counts[ordinary[i]];
        return sum > 0
            ? new(ordinary, sums)
            : throw new InvalidInputException(
                $"{earlier.Folder}: contains no text tokens, so it has no unigram distribution", "use --first uniform");
    }

    /// <param name="uniform">In [0, 1).</param>
    public int Draw(double uniform)
    {
        if (_sums is null)
            return _ids[Math.Min((int)(uniform * _ids.Count), _ids.Count - 1)];
        var target = Math.Min((long)(uniform * _sums[^1]), _sums[^1] - 1);
        // The first sum above the target: ids that were never seen add nothing and cannot be met.
        var (low, high) = (0, _sums.Length - 1);
        while (low < high)
        {
            var middle = (low + high) / 2;
            if (_sums[middle] > target)
                high = middle;
            else
                low = middle + 1;
        }
        return _ids[low];
    }
}
