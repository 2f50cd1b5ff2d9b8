using Qbb.Models.Generation;
using Qbb.Recipes;
using Qbb.Workers.Units;

namespace Qbb.Synthdata.Sampling;

/// <summary>
/// Samples sequences by their numbers: begin-of-text where the tokenizer puts one, a random first token, then the teacher's own draws.
/// Sequence i has a generator of its own, seeded by (run seed, i), so that it is the same in whatever batch, shard or process it is made.
/// </summary>
/// <param name="teacher">The model.</param>
/// <param name="options">How to sample.</param>
/// <param name="first">Distribution of the first token.</param>
internal sealed class SequenceSampler(Teacher teacher, SamplingOptions options, FirstTokenLaw first)
{
    private readonly TokenGenerator _generator = new(teacher.Model);
    private readonly IReadOnlyList<int> _stopIds = options.StopAtEos ? teacher.StopIds : [];

    /// <summary>Samples some sequences as one batch.</summary>
    /// <param name="indices">Their numbers.</param>
    /// <param name="onToken">Called for every token that the teacher drew.</param>
    /// <param name="cancellation">Stops between two tokens.</param>
    /// <returns>Per sequence its tokens, at most <see cref="SamplingOptions.Length"/>.</returns>
    public IReadOnlyList<int[]> Sample(IReadOnlyList<long> indices, Action? onToken = null, CancellationToken cancellation = default)
    {
        var prompts = new int[indices.Count][];
        var seeds = new ulong[indices.Count];
        for (var i = 0; i < prompts.Length; i++)
        {
            var random = SplitMix64.For(options.Seed, (ulong)indices[i]);
            var token = first.Draw(random.NextUniform());
            prompts[i] = teacher.Tokenizer?.BeginOfSequence is { } begin ? [begin, token] : [token];
            seeds[i] = random.Next();
        }
        var generation = new GenerationOptions
        {
            MaxTokens = options.Length - prompts[0].Length,
            Temperature = options.Temperature,
            TopK = options.TopK,
            TopP = options.TopP,
            StopIds = _stopIds,
        };
        var generated = _generator.Generate(prompts, seeds, generation, (_, _) => onToken?.Invoke(), cancellation);
        TokenMetrics.Sampled(generated.Sum(sequence => (long)sequence.Tokens.Count));
        return [.. prompts.Select((prompt, i) => (int[])[.. prompt, .. generated[i].Tokens])];
    }
}
