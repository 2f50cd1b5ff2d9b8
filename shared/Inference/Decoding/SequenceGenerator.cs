using Qbb.Models.Generation;

namespace Qbb.Inference.Decoding;

/// <summary>Continues prompts in one batch. Each sequence draws from its own seed: its tokens do not depend on what else is in the batch, up to rounding.</summary>
public sealed class SequenceGenerator(IDecoder decoder)
{
    /// <summary>Continues prompts.</summary>
    /// <param name="prompts">At least one token each.</param>
    /// <param name="seeds">One per prompt; not used when the temperature is 0.</param>
    /// <param name="options">How to choose tokens and when to end.</param>
    /// <param name="cancellation">Ends the work between two tokens.</param>
    /// <returns>One per prompt, in order.</returns>
    /// <exception cref="InvalidInputException">An option is out of range, a prompt is empty or too long, a token is outside the vocabulary.</exception>
    public IReadOnlyList<GeneratedSequence> Generate(
        IReadOnlyList<IReadOnlyList<int>> prompts, IReadOnlyList<ulong> seeds, GenerationOptions options, CancellationToken cancellation = default)
    {
        options.Validate();
        TokenGenerator.CheckPrompts(decoder.Config, prompts, options);
        var rows = prompts.Select((prompt, k) => new Row(k, prompt, decoder.Begin(), new Sampler(options, seeds[k]))).ToList();
        try
        {
            if (options.MaxTokens > 0 && rows.Count > 0)
                Run(rows, options, cancellation);
            return [.. rows.Select(row => new GeneratedSequence(row.Tokens, row.IsStopped))];
        }
        finally
        {
            rows.ForEach(row => row.Sequence.Dispose());
        }
    }

    private void Run(List<Row> rows, GenerationOptions options, CancellationToken cancellation)
    {
        var vocabulary = decoder.Config.VocabularySize;
        var logits = new float[rows.Count * vocabulary];
        for (var active = rows; active.Count > 0; active = [.. active.Where(row => !row.IsStopped && row.Tokens.Count < options.MaxTokens)])
        {
            cancellation.ThrowIfCancellationRequested();
            decoder.Step([.. active.Select(row => new DecoderInput(row.Sequence, row.Next))], logits.AsSpan(0, active.Count * vocabulary));
            foreach (var (k, row) in active.Index())
                row.Add(logits.AsSpan(k * vocabulary, vocabulary), options);
        }
    }

    private sealed class Row(int index, IReadOnlyList<int> prompt, IDecoderSequence sequence, Sampler sampler)
    {
        public IDecoderSequence Sequence => sequence;

        public List<int> Tokens { get; } = [];

        public bool IsStopped { get; private set; }

        /// <summary>What the decoder has not seen.</summary>
        public int[] Next => Tokens.Count == 0 ? [.. prompt] : [Tokens[^1]];

        public void Add(Span<float> logits, GenerationOptions options)
        {
            if (options.RepetitionPenalty != 1)
                Sampler.Penalize(logits, prompt.Concat(Tokens), options.RepetitionPenalty);
            var token = sampler.Next(logits);
            Tokens.Add(token);
            IsStopped = options.StopIds.Contains(token) | options.Ends?.Invoke(index, Tokens) == true;
        }
    }
}
