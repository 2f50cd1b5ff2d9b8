using System.Runtime.InteropServices;

namespace Qbb.Models.Generation;

/// <summary>Draws tokens of one sequence: temperature, then top-k, then top-p, then min-p, then one draw. All in double, on the host.</summary>
/// <param name="options">How to choose.</param>
/// <param name="seed">The sequence's own seed: its tokens do not depend on other sequences.</param>
public sealed class Sampler(GenerationOptions options, ulong seed)
{
    // A megabyte for a vocabulary of 64 Ki: one for each thread, not for each of the hundreds of sequences that are sampled together.
    [ThreadStatic]
    private static List<(double Weight, int Id)>? s_candidates;

    private SplitMix64 _random = new(seed);

    /// <param name="logits">One per token of the vocabulary.</param>
    /// <exception cref="InvalidInputException">The logits are not numbers.</exception>
    public int Next(ReadOnlySpan<float> logits)
    {
        var best = Best(logits);
        if (options.Temperature == 0)
            return best;
        var candidates = Weigh(logits, logits[best]);
        if (options.TopK > 0 && options.TopK < candidates.Length)
        {
            Sort(candidates);
            candidates = candidates[..options.TopK];
        }
        if (options.TopP < 1)
            candidates = Nucleus(candidates);
        if (options.MinP > 0)
        {
            candidates = AtLeast(candidates, options.MinP);
            Sort(candidates);
        }
        return Draw(candidates);
    }

    /// <summary>Puts the penalty on tokens that were there before, see <see cref="GenerationOptions.RepetitionPenalty"/>.</summary>
    /// <param name="logits">One per token of the vocabulary.</param>
    /// <param name="tokens">Prompt and text.</param>
    /// <param name="penalty">Positive.</param>
    public static void Penalize(Span<float> logits, IEnumerable<int> tokens, double penalty)
    {
        foreach (var token in tokens.Distinct())
            logits[token] = (float)(logits[token] > 0 ? logits[token] / penalty : logits[token] * penalty);
    }

    private static int Best(ReadOnlySpan<float> logits)
    {
        var best = 0;
        for (var id = 0; id < logits.Length; id++)
        {
            if (float.IsNaN(logits[id]))
                throw new InvalidInputException($"the model gave NaN as the logit of token {id}; its weights are damaged or too large for the type of calculation");
            if (logits[id] > logits[best])
                best = id;
        }
        return best;
    }

    /// <summary>Softmax weights relative to the likeliest token's; those that vanish beside it are left out.</summary>
    private Span<(double Weight, int Id)> Weigh(ReadOnlySpan<float> logits, float largest)
    {
        const double vanishing = -50;
        var candidates = s_candidates ??= [];
        candidates.Clear();
        for (var id = 0; id < logits.Length; id++)
        {
            var exponent = (logits[id] - largest) / options.Temperature;
            if (exponent > vanishing || logits[id] == largest)
                candidates.Add((logits[id] == largest ? 1 : Math.Exp(exponent), id));
        }
        return CollectionsMarshal.AsSpan(candidates);
    }

    /// <summary>The fewest tokens, likeliest first, that reach top-p; at least one.</summary>
    private Span<(double Weight, int Id)> Nucleus(Span<(double Weight, int Id)> candidates)
    {
        var total = Sum(candidates);
        // Tokens below this weight sum to less than 1 − p together: the nucleus lies above, and less is to be sorted.
        candidates = AtLeast(candidates, (1 - options.TopP) * total / candidates.Length);
        Sort(candidates);
        var reached = 0.0;
        for (var i = 0; i < candidates.Length; i++)
        {
            reached += candidates[i].Weight;
            if (reached >= options.TopP * total)
                return candidates[..(i + 1)];
        }
        return candidates;
    }

    private static Span<(double Weight, int Id)> AtLeast(Span<(double Weight, int Id)> candidates, double least)
    {
        var kept = 0;
        for (var i = 0; i < candidates.Length; i++)
        {
            if (candidates[i].Weight >= least)
                candidates[kept++] = candidates[i];
        }
        return candidates[..kept];
    }

    private int Draw(Span<(double Weight, int Id)> candidates)
    {
        var target = Uniform() * Sum(candidates);
        foreach (var (weight, id) in candidates)
        {
            target -= weight;
            if (target < 0)
                return id;
        }
        return candidates[^1].Id;
    }

    /// <summary>Likeliest first; equal ones by id, so that the order is always the same.</summary>
    private static void Sort(Span<(double Weight, int Id)> candidates) =>
        candidates.Sort((a, b) => b.Weight != a.Weight ? b.Weight.CompareTo(a.Weight) : a.Id.CompareTo(b.Id));

    private static double Sum(ReadOnlySpan<(double Weight, int Id)> candidates)
    {
        var sum = 0.0;
        foreach (var (weight, _) in candidates)
            sum += weight;
        return sum;
    }

    /// <summary>The sequence's next random number, in [0, 1).</summary>
    internal double Uniform() => _random.NextUniform();
}
