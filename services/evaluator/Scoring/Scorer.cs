using System.Diagnostics;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Torch;
using F = Qbb.Torch.torch.nn.functional;

namespace Qbb.Evaluator.Scoring;

/// <summary>
/// Perplexity by the protocol that quantization papers share: the text is tokenised once, cut into ⌊tokens/context⌋ windows that do
/// not overlap (the remainder is dropped), and every window is scored by itself over its shifted labels.
/// </summary>
public static class Scorer
{
    /// <param name="model">The model to score.</param>
    /// <param name="ids">The tokens of the whole text, with the BOS where the tokenizer puts one.</param>
    /// <param name="options">Windows and batch.</param>
    /// <param name="teacher">The unquantized model for divergence and agreement; null for perplexity alone.</param>
    /// <param name="progress">Told after every batch.</param>
    /// <param name="cancel">Stops between batches.</param>
    /// <exception cref="InvalidInputException">The text is shorter than a window, or a token lies outside the model's vocabulary.</exception>
    public static Score Run(Transformer model, ReadOnlySpan<int> ids, ScoreOptions options, Transformer? teacher = null,
        IProgress<ScoreProgress>? progress = null, CancellationToken cancel = default)
    {
        options.Validate();
        CheckIds(ids, model.Config.VocabularySize);
        var context = options.Context;
        var windows = Math.Min(ids.Length / context, options.Windows ?? int.MaxValue);
        if (windows == 0)
            throw new InvalidInputException($"the text has {ids.Length} tokens, less than one window of {context}: give more text or a smaller --context");
        if (teacher != null && teacher.Config.VocabularySize != model.Config.VocabularySize)
            throw new InvalidInputException($"teacher and model have vocabularies of {teacher.Config.VocabularySize} and {model.Config.VocabularySize} tokens: " +
                "the teacher must be the model that was quantized");

        var watch = Stopwatch.StartNew();
        var sums = new Sums();
        using var off = torch.no_grad();
        for (var first = 0; first < windows; first += options.Batch)
        {
            cancel.ThrowIfCancellationRequested();
            var count = Math.Min(options.Batch, windows - first);
            var tokens = new long[count * context];
            for (var k = 0; k < tokens.Length; k++)
                tokens[k] = ids[first * context + k];
            using var scope = torch.NewDisposeScope();
            AddWindows(model, teacher, torch.tensor(tokens, count, context).to(model.Device), sums);
            progress?.Report(new ScoreProgress(first + count, windows, sums.Perplexity));
        }
        return new Score(sums.Perplexity, windows, (long)windows * context, context, teacher == null ? null : sums.Divergence / sums.Positions,
            teacher == null ? null : (double)sums.Agreements / sums.Positions, watch.Elapsed.TotalSeconds);
    }

    // tokens is [windows, context].
    private static void AddWindows(Transformer model, Transformer? teacher, Tensor tokens, Sums sums)
    {
        var scored = tokens.size(1) - 1;
        var hidden = model.hidden(tokens).narrow(1, 0, scored).flatten(0, 1);
        var taught = teacher?.hidden(tokens.to(teacher.Device)).narrow(1, 0, scored).flatten(0, 1);
        var labels = tokens.narrow(1, 1, scored).reshape(-1);
        foreach (var (start, length) in PositionChunks.Of(labels.numel(), model.Config.VocabularySize))
        {
            using var scope = torch.NewDisposeScope();
            var logProbabilities = F.log_softmax(model.head(hidden.narrow(0, start, length)), -1, ScalarType.Float32);
            sums.Add(-logProbabilities.gather(1, labels.narrow(0, start, length).unsqueeze(1)).to(ScalarType.Float64).sum().item(), length);
            if (taught == null)
                continue;
            var truth = F.log_softmax(teacher!.head(taught.narrow(0, start, length)), -1, ScalarType.Float32).to(model.Device);
            sums.Divergence += (truth.exp() * (truth - logProbabilities)).sum(-1).to(ScalarType.Float64).sum().item();
            sums.Agreements += truth.argmax(-1).eq(logProbabilities.argmax(-1)).sum().item_int64();
        }
    }

    private static void CheckIds(ReadOnlySpan<int> ids, int vocabulary)
    {
        foreach (var id in ids)
            if ((uint)id >= (uint)vocabulary)
                throw new InvalidInputException($"the tokenizer gives token {id}, but the model's vocabulary has {vocabulary}: tokenizer and model do not belong together");
    }

    private sealed class Sums
    {
        private double _entropy;
        public long Positions { get; private set; }
        public double Divergence { get; set; }
        public long Agreements { get; set; }
        public double Perplexity => Math.Exp(_entropy / Positions);

        public void Add(double entropy, long positions)
        {
            _entropy += entropy;
            Positions += positions;
        }
    }
}
