using Qbb.Checkpoints;
using Qbb.Inference.Decoding;
using Qbb.Inference.Serving;

namespace Qbb.Bench.Peers;

/// <summary>What rounding keys and values to integers costs a model's predictions of a text.</summary>
/// <param name="Divergence">Mean KL divergence from the predictions with a cache in fp32, nats per token.</param>
/// <param name="Perplexity">Of the text.</param>
/// <param name="Exact">The same with a cache in fp32.</param>
internal sealed record CacheCost(double Divergence, double Perplexity, double Exact)
{
    /// <param name="model">A model.</param>
    /// <param name="tokens">The text, read token by token.</param>
    /// <param name="cache">How keys and values are kept.</param>
    /// <param name="threads">Threads.</param>
    /// <param name="cancel">Ends the work.</param>
    public static CacheCost Measure(string model, IReadOnlyList<int> tokens, KvPrecision cache, int threads, CancellationToken cancel)
    {
        using var source = ModelSource.Open(model);
        using var exact = CpuDecoder.Load(source, new() { Threads = threads, Cache = KvPrecision.Single });
        using var rounded = CpuDecoder.Load(source, new() { Threads = threads, Cache = cache });
        using IDecoderSequence one = exact.Begin(), other = rounded.Begin();
        var (p, q) = (new float[exact.Config.VocabularySize], new float[exact.Config.VocabularySize]);
        double divergence = 0, exactLoss = 0, roundedLoss = 0;
        for (var k = 0; k + 1 < tokens.Count; k++)
        {
            cancel.ThrowIfCancellationRequested();
            exact.Step([new(one, new[] { tokens[k] })], p);
            rounded.Step([new(other, new[] { tokens[k] })], q);
            var (sumP, sumQ) = (LogSum(p), LogSum(q));
            for (var id = 0; id < p.Length; id++)
                divergence += Math.Exp(p[id] - sumP) * (p[id] - sumP - (q[id] - sumQ));
            exactLoss += sumP - p[tokens[k + 1]];
            roundedLoss += sumQ - q[tokens[k + 1]];
        }
        var count = tokens.Count - 1;
        return new(divergence / count, Math.Exp(roundedLoss / count), Math.Exp(exactLoss / count));
    }

    /// <summary>The log of the sum of e^logit, from the log-probability of one token.</summary>
    private static double LogSum(ReadOnlySpan<float> logits) => logits[0] - TokenLogprobs.Of(logits, chosen: 0, count: 0, start: 0).Chosen.Logprob;
}
