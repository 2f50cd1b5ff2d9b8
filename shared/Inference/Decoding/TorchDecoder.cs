using Qbb.Models.Decoder;

namespace Qbb.Inference.Decoding;

/// <summary>
/// The decoder by libtorch, on a CPU or GPU: every sequence has a cache of its own and is calculated by itself, so that its results do not depend on others.
/// </summary>
/// <param name="model">Stays the caller's.</param>
public sealed class TorchDecoder(Transformer model) : IDecoder
{
    private const int FirstCapacity = 64;

    public DecoderConfig Config => model.Config;

    public IDecoderSequence Begin() => new Sequence(model, null, []);

    public void Step(IReadOnlyList<DecoderInput> inputs, Span<float> logits)
    {
        using var grad = torch.no_grad();
        for (var i = 0; i < inputs.Count; i++)
        {
            using var scope = torch.NewDisposeScope();
            var x = ((Sequence)inputs[i].Sequence).Append(inputs[i].Tokens.Span);
            model.head(x).to(ScalarType.Float32).cpu().data<float>().CopyTo(logits.Slice(i * Config.VocabularySize, Config.VocabularySize));
        }
    }

    public void Dispose()
    {
    }

    /// <param name="model">The model.</param>
    /// <param name="cache">Null before the first tokens.</param>
    /// <param name="tokens">Those in the cache, and behind them those that the next pass has to calculate again.</param>
    private sealed class Sequence(Transformer model, KvCache? cache, List<long> tokens) : IDecoderSequence
    {
        public int Length => tokens.Count;

        public void Truncate(int length)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Length);
            tokens.RemoveRange(length, tokens.Count - length);
            if (cache is null || length >= cache.Length)
                return;
            if (model.Config.Rope is { } rope && RopeFrequencies.Regime(rope, cache.Length) != RopeFrequencies.Regime(rope, length))
                cache.Reset();
            else
                cache.Truncate(length);
        }

        public IDecoderSequence Fork() => new Sequence(model, cache?.Copy(cache.Capacity), [.. tokens]);

        /// <summary>Returns what the head reads after the last token: [1, embedding].</summary>
        public Tensor Append(ReadOnlySpan<int> added)
        {
            if (model.Config.LearnedPositions && Length + added.Length > model.Config.MaxPositions)
                throw new InvalidInputException($"{Length + added.Length} tokens are more than the {model.Config.MaxPositions} positions of this {model.Config.ModelType} model; shorten the text");
            foreach (var id in added)
            {
                if (id < 0 || id >= model.Config.VocabularySize)
                    throw new InvalidInputException($"token id {id} is outside the vocabulary of {model.Config.VocabularySize}");
            }
            foreach (var id in added)
                tokens.Add(id);
            Reserve(tokens.Count);
            var next = tokens[cache!.Length..];
            var x = model.hidden(torch.tensor(next, 1, next.Count), cache);
            return x.select(1, x.size(1) - 1);
        }

        public void Dispose() => cache?.Dispose();

        private void Reserve(int length)
        {
            if (cache is not null && length <= cache.Capacity)
                return;
            var (before, capacity) = (cache, Math.Max(FirstCapacity, 2 * length));
            cache = before?.Copy(capacity) ?? new(model.Config, 1, capacity, model.Device, model.DType);
            before?.Dispose();
        }
    }
}
