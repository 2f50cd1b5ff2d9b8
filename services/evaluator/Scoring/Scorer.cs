using System.Diagnostics;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Workers.Units;
using F = TorchSharp.torch.nn.functional;

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
        var windows = Windows(ids, options);
        Check(model, ids, teacher);
        var watch = Stopwatch.StartNew();
        var sums = new ScoreSums();
        for (var first = 0; first < windows; first += options.Batch)
        {
            cancel.ThrowIfCancellationRequested();
            AddWindows(model, ids, options, first, Math.Min(options.Batch, windows - first), teacher, sums);
            progress?.Report(new ScoreProgress(Math.Min(windows, first + options.Batch), windows, sums.Perplexity));
        }
        return new Score(sums.Perplexity, windows, (long)windows * options.Context, options.Context, teacher == null ? null : sums.Kl,
            teacher == null ? null : sums.Top1, watch.Elapsed.TotalSeconds);
    }

    /// <summary>Windows of a text that are scored.</summary>
    /// <exception cref="InvalidInputException">The text is shorter than one.</exception>
    public static int Windows(ReadOnlySpan<int> ids, ScoreOptions options)
    {
        var windows = Math.Min(ids.Length / options.Context, options.Windows ?? int.MaxValue);
        return windows > 0 ? windows : throw new InvalidInputException(
            $"the text has {ids.Length} tokens, less than one window of {options.Context}", "give more text or a smaller --context");
    }

    /// <summary>Scores a range of windows; the sums of all ranges are those of the whole.</summary>
    /// <param name="model">The model to score.</param>
    /// <param name="ids">The tokens of the whole text.</param>
    /// <param name="options">Windows and batch.</param>
    /// <param name="first">First window.</param>
    /// <param name="count">Windows.</param>
    /// <param name="teacher">The unquantized model.</param>
    /// <param name="cancel">Stops between batches.</param>
    public static ScoreSums RunRange(
        Transformer model, ReadOnlySpan<int> ids, ScoreOptions options, int first, int count, Transformer teacher, CancellationToken cancel = default)
    {
        options.Validate();
        Check(model, ids, teacher);
        var sums = new ScoreSums();
        for (var done = 0; done < count; done += options.Batch)
        {
            cancel.ThrowIfCancellationRequested();
            AddWindows(model, ids, options, first + done, Math.Min(options.Batch, count - done), teacher, sums);
        }
        return sums;
    }

    private static void AddWindows(
        Transformer model, ReadOnlySpan<int> ids, ScoreOptions options, int first, int count, Transformer? teacher, ScoreSums sums)
    {
        var tokens = new long[count * options.Context];
        for (var k = 0; k < tokens.Length; k++)
            tokens[k] = ids[first * options.Context + k];
        using var off = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        AddWindows(model, teacher, torch.tensor(tokens, count, options.Context).to(model.Device), sums);
        TokenMetrics.Evaluated(tokens.Length);
    }

    // tokens is [windows, context].
    private static void AddWindows(Transformer model, Transformer? teacher, Tensor tokens, ScoreSums sums)
    {
        var scored = tokens.size(1) - 1;
        var hidden = model.hidden(tokens).narrow(1, 0, scored).flatten(0, 1);
        var taught = teacher?.hidden(tokens.to(teacher.Device)).narrow(1, 0, scored).flatten(0, 1);
        var labels = tokens.narrow(1, 1, scored).reshape(-1);
        foreach (var (start, length) in PositionChunks.Of(labels.numel(), model.Config.VocabularySize))
        {
            using var scope = torch.NewDisposeScope();
            var logProbabilities = F.log_softmax(model.head(hidden.narrow(0, start, length)).to(ScalarType.Float32), -1);
            sums.Add(-logProbabilities.gather(1, labels.narrow(0, start, length).unsqueeze(1)).to(ScalarType.Float64).sum().ToDouble(), length);
            if (taught is null)
                continue;
            var truth = F.log_softmax(teacher!.head(taught.narrow(0, start, length)).to(ScalarType.Float32), -1).to(model.Device);
            sums.AddTeacher(-truth.gather(1, labels.narrow(0, start, length).unsqueeze(1).to(truth.device)).to(ScalarType.Float64).sum().ToDouble());
            sums.Divergence += (truth.exp() * (truth - logProbabilities)).sum(-1).to(ScalarType.Float64).sum().ToDouble();
            sums.Agreements += truth.argmax(-1).eq(logProbabilities.argmax(-1)).sum().ToInt64();
        }
    }

    private static void Check(Transformer model, ReadOnlySpan<int> ids, Transformer? teacher)
    {
        var vocabulary = model.Config.VocabularySize;
        foreach (var id in ids)
        {
            if ((uint)id >= (uint)vocabulary)
                throw new InvalidInputException($"the tokenizer gives token {id}, but the model's vocabulary has {vocabulary}: tokenizer and model do not belong together");
        }
        if (teacher != null && teacher.Config.VocabularySize != vocabulary)
            throw new InvalidInputException($"teacher and model have vocabularies of {teacher.Config.VocabularySize} and {vocabulary} tokens: " +
                "the teacher must be the model that was quantized");
    }
}
