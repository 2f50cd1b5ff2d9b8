using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Qbb.Evaluator.Text;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Models.Tokenizers;
using F = TorchSharp.torch.nn.functional;

namespace Qbb.Evaluator.Scoring;

/// <summary>A question with several ways to continue a text, one of which is right.</summary>
/// <param name="Context">The text; may be empty where the tokenizer puts a token before every text.</param>
/// <param name="Choices">Continuations, with the white space that separates them from the context.</param>
/// <param name="Answer">The right one.</param>
public sealed record ChoiceQuestion(string Context, IReadOnlyList<string> Choices, int Answer)
{
    private static readonly JsonSerializerOptions s_json = JsonSerializerOptions.Web;

    /// <summary>Reads one question a line: {"context": "…", "choices": ["…", "…"], "answer": 0}. Other members are ignored.</summary>
    /// <exception cref="InvalidInputException">The file cannot be read, or a line is not a question; the message gives its number.</exception>
    public static IReadOnlyList<ChoiceQuestion> ReadAll(string file)
    {
        var lines = EvaluationText.Read(file, Recipes.TextLayout.Raw).Text.Split('\n');
        return [.. Enumerable.Range(0, lines.Length).Where(k => !string.IsNullOrWhiteSpace(lines[k])).Select(k => Read(lines[k], $"{file} line {k + 1}"))];
    }

    private static ChoiceQuestion Read(string line, string place)
    {
        const string form = "write {\"context\": \"…\", \"choices\": [\"…\", \"…\"], \"answer\": 0}";
        try
        {
            var read = JsonSerializer.Deserialize<Line>(line, s_json);
            if (read is not { Context: not null, Choices.Length: > 1, Answer: not null } || read.Choices.Any(string.IsNullOrEmpty))
                throw new InvalidInputException($"{place}: needs context, two or more choices and answer", form);
            return read.Answer >= 0 && read.Answer < read.Choices.Length ? new(read.Context, read.Choices!, read.Answer.Value)
                : throw new InvalidInputException($"{place}: answer is {read.Answer}", $"give the index of a choice, 0 to {read.Choices.Length - 1}");
        }
        catch (JsonException error)
        {
            throw new InvalidInputException($"{place}: is not a question ({error.Message})", form, error);
        }
    }

    private sealed record Line(string? Context, string?[]? Choices, int? Answer);
}

/// <summary>The result of a multiple-choice task; standard errors are null of a single question.</summary>
/// <param name="Questions">Their number.</param>
/// <param name="Accuracy">Share of questions whose answer has the largest log-likelihood.</param>
/// <param name="AccuracyError">Its standard error, √(p(1 − p)/(n − 1)).</param>
/// <param name="NormalizedAccuracy">The same by the log-likelihood per byte.</param>
/// <param name="NormalizedAccuracyError">Its standard error.</param>
/// <param name="Truncated">Choices whose context lost its beginning because the model's context length is shorter.</param>
/// <param name="Seconds">Wall time of scoring.</param>
public sealed record ChoiceScore(
    int Questions, double Accuracy, double? AccuracyError, double NormalizedAccuracy, double? NormalizedAccuracyError, int Truncated, double Seconds);

/// <summary>
/// Multiple choice by log-likelihood, by the protocol of EleutherAI's lm-evaluation-harness: of context and choice together, encoded as one
/// text, the tokens behind as many as the context alone has are the choice's; white space at the context's end counts as the choice's.
/// The token that the tokenizer puts before every text is put there once. Normalization is by UTF-8 bytes of the choice without
/// the white space in front.
/// </summary>
public static class MultipleChoice
{
    private const int TokensAtOnce = 4096;

    /// <param name="model">The model to score.</param>
    /// <param name="tokenizer">Its tokenizer.</param>
    /// <param name="questions">The task.</param>
    /// <param name="progress">Told of (choices done, of all) after every batch.</param>
    /// <param name="cancel">Stops between batches.</param>
    /// <exception cref="InvalidInputException">A choice adds no token or does not fit the model.</exception>
    public static ChoiceScore Run(
        Transformer model, Tokenizer tokenizer, IReadOnlyList<ChoiceQuestion> questions, Action<int, int>? progress = null, CancellationToken cancel = default)
    {
        var watch = Stopwatch.StartNew();
        var longest = model.Config.MaxPositions;
        var choices = questions.SelectMany((question, k) => question.Choices.Select((choice, c) => Split(tokenizer, question.Context, choice, model.Config, $"question {k + 1}, choice {c}"))).ToList();
        var sums = LogLikelihoods(model, choices, progress, cancel);
        var (right, rightByByte, next) = (0, 0, 0);
        foreach (var question in questions)
        {
            var own = sums.AsSpan(next, question.Choices.Count);
            right += Largest(own) == question.Answer ? 1 : 0;
            for (var c = 0; c < own.Length; c++)
                own[c] /= Math.Max(1, Encoding.UTF8.GetByteCount(question.Choices[c].TrimStart()));
            rightByByte += Largest(own) == question.Answer ? 1 : 0;
            next += own.Length;
        }
        var (plain, normalized) = (Share(right, questions.Count), Share(rightByByte, questions.Count));
        return new(questions.Count, plain.Value, plain.Error, normalized.Value, normalized.Error, choices.Count(choice => choice.Tokens.Length > longest + 1), watch.Elapsed.TotalSeconds);
    }

    /// <summary>The tokens of a context with a choice, and how many of the last are the choice's.</summary>
    internal static (int[] Tokens, int Scored) Split(Tokenizer tokenizer, string context, string choice, DecoderConfig config, string place)
    {
        var kept = context.TrimEnd();
        var whole = Encode(context + choice);
        var scored = whole.Length - Encode(kept).Length;
        if (scored < 1)
            throw new InvalidInputException($"{place} adds no token to its context", "begin choices with the space that separates them");
        if (scored == whole.Length)
            throw new InvalidInputException($"{place} has no context, and the tokenizer puts no token before a text", "give a context");
        if (scored > config.MaxPositions)
            throw new InvalidInputException($"{place} has {scored} tokens, more than the model's context length of {config.MaxPositions}", "use a shorter choice");
        var beyond = Array.FindIndex(whole, id => id >= config.VocabularySize);
        return beyond < 0 ? (whole, scored) : throw new InvalidInputException(
            $"{place} has the token {whole[beyond]}, outside the model's vocabulary of {config.VocabularySize}", "tokenizer and model do not belong together");

        int[] Encode(string text) => [.. tokenizer.BeginOfSequence is { } first ? (int[])[first] : [], .. tokenizer.Encode(text, addSpecialTokens: false)];
    }

    /// <summary>ln p(choice | context) of each; those of like length run together, padded on the right, which causal attention does not see.</summary>
    private static double[] LogLikelihoods(Transformer model, List<(int[] Tokens, int Scored)> choices, Action<int, int>? progress, CancellationToken cancel)
    {
        var sums = new double[choices.Count];
        var order = Enumerable.Range(0, choices.Count).OrderByDescending(k => choices[k].Tokens.Length).ToList();
        for (var done = 0; done < order.Count;)
        {
            cancel.ThrowIfCancellationRequested();
            var width = Math.Min(choices[order[done]].Tokens.Length - 1, model.Config.MaxPositions);
            var rows = order.Skip(done).Take(Math.Max(1, TokensAtOnce / width)).ToList();
            Score(model, choices, rows, width, sums);
            done += rows.Count;
            progress?.Invoke(done, order.Count);
        }
        return sums;
    }

    private static void Score(Transformer model, List<(int[] Tokens, int Scored)> choices, List<int> rows, int width, double[] sums)
    {
        var input = new long[rows.Count * width];
        var (positions, labels, owners) = (new List<long>(), new List<long>(), new List<int>());
        for (var row = 0; row < rows.Count; row++)
        {
            var (tokens, scored) = choices[rows[row]];
            var first = Math.Max(0, tokens.Length - 1 - width);
            for (var k = first; k < tokens.Length - 1; k++)
            {
                var at = row * width + k - first;
                input[at] = tokens[k];
                if (k + 1 < tokens.Length - scored)
                    continue;
                positions.Add(at);
                labels.Add(tokens[k + 1]);
                owners.Add(rows[row]);
            }
        }
        using var off = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        var hidden = model.hidden(torch.tensor(input, rows.Count, width).to(model.Device)).flatten(0, 1).index_select(0, torch.tensor(positions.ToArray()).to(model.Device));
        var truth = torch.tensor(labels.ToArray()).to(model.Device).unsqueeze(1);
        foreach (var (start, length) in PositionChunks.Of(positions.Count, model.Config.VocabularySize))
        {
            using var chunk = torch.NewDisposeScope();
            var logProbabilities = F.log_softmax(model.head(hidden.narrow(0, start, length)).to(ScalarType.Float32), -1)
                .gather(1, truth.narrow(0, start, length)).to(ScalarType.Float64).to(torch.CPU).reshape(-1).ToArray<double>();
            for (var k = 0; k < length; k++)
                sums[owners[(int)start + k]] += logProbabilities[k];
        }
        if (rows.Exists(row => double.IsNaN(sums[row])))
            throw new InvalidInputException("the model gave NaN as a logit; its weights are damaged or too large for the type of calculation");
    }

    private static int Largest(ReadOnlySpan<double> values)
    {
        var best = 0;
        for (var k = 1; k < values.Length; k++)
            if (values[k] > values[best])
                best = k;
        return best;
    }

    private static (double Value, double? Error) Share(int count, int of)
    {
        var share = (double)count / of;
        return (share, of > 1 ? Math.Sqrt(share * (1 - share) / (of - 1)) : null);
    }
}
