using Qbb.Models.Generation;

namespace Qbb.Inference.Serving;

/// <summary>A token and its natural log-probability by the model alone, before temperature and penalties.</summary>
public readonly record struct TokenLogprob(int Id, double Logprob);

/// <summary>A chosen token with its likeliest alternatives.</summary>
/// <param name="Chosen">The token.</param>
/// <param name="Top">The likeliest, in order.</param>
/// <param name="Start">Where its text begins in the continuation.</param>
public sealed record TokenLogprobs(TokenLogprob Chosen, IReadOnlyList<TokenLogprob> Top, int Start)
{
    /// <param name="logits">One per token of the vocabulary.</param>
    /// <param name="chosen">The token.</param>
    /// <param name="count">Alternatives.</param>
    /// <param name="start">Where its text begins.</param>
    public static TokenLogprobs Of(ReadOnlySpan<float> logits, int chosen, int count, int start)
    {
        var largest = float.NegativeInfinity;
        foreach (var logit in logits)
            largest = Math.Max(largest, logit);
        var sum = 0.0;
        // The smallest of the best so far comes out first; of equal ones the later.
        var best = new PriorityQueue<int, (float, int)>(count + 1);
        for (var id = 0; id < logits.Length; id++)
        {
            sum += Math.Exp(logits[id] - (double)largest);
            if (best.Count < count)
                best.Enqueue(id, (logits[id], -id));
            else if (count > 0 && logits[id] > logits[best.Peek()])
                best.EnqueueDequeue(id, (logits[id], -id));
        }
        var total = largest + Math.Log(sum);
        var top = new TokenLogprob[best.Count];
        for (var place = top.Length - 1; place >= 0; place--)
        {
            var id = best.Dequeue();
            top[place] = new(id, logits[id] - total);
        }
        return new(new(chosen, logits[chosen] - total), top, start);
    }
}

/// <summary>Draws the tokens of one continuation: penalties and bias, then <see cref="Sampler"/>.</summary>
internal sealed class TokenDraw
{
    private readonly ServingRequest _request;
    private readonly Sampler _sampler;
    private readonly Dictionary<int, int> _counts = [];
    private readonly HashSet<int> _seen = [];
    private float[] _changed = [];

    public TokenDraw(ServingRequest request, ulong seed)
    {
        (_request, _sampler) = (request, new(request.Options, seed));
        if (request.Options.RepetitionPenalty != 1)
            _seen.UnionWith(request.Prompt);
    }

    /// <param name="logits">One per token of the vocabulary.</param>
    /// <exception cref="InvalidInputException">The logits are not numbers.</exception>
    public int Next(ReadOnlySpan<float> logits)
    {
        var token = _sampler.Next(Changes ? Changed(logits) : logits);
        _counts[token] = _counts.GetValueOrDefault(token) + 1;
        if (_request.Options.RepetitionPenalty != 1)
            _seen.Add(token);
        return token;
    }

    private bool Changes => _request is not { Options.RepetitionPenalty: 1, FrequencyPenalty: 0, PresencePenalty: 0, Bias.Count: 0 };

    private ReadOnlySpan<float> Changed(ReadOnlySpan<float> logits)
    {
        if (_changed.Length == 0)
            _changed = new float[logits.Length];
        logits.CopyTo(_changed);
        Sampler.Penalize(_changed, _seen, _request.Options.RepetitionPenalty);
        if (_request is not { FrequencyPenalty: 0, PresencePenalty: 0 })
        {
            foreach (var (id, count) in _counts)
                _changed[id] -= (float)(_request.FrequencyPenalty * count + _request.PresencePenalty);
        }
        foreach (var (id, bias) in _request.Bias)
            _changed[id] += (float)bias;
        return _changed;
    }
}
