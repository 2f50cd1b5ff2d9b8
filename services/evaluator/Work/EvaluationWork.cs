using System.Diagnostics;
using System.Text.Json;
using MassTransit;
using Microsoft.Extensions.Options;
using Qbb.Evaluator.Accounting;
using Qbb.Evaluator.Scoring;
using Qbb.Evaluator.Text;
using Qbb.Models;
using Qbb.Recipes;
using Qbb.Workers;
using Qbb.Workers.Data;
using Qbb.Workers.Models;
using Qbb.Workers.Units;

namespace Qbb.Evaluator.Work;

/// <summary>Scores ranges of windows of a text, or of sampled sequences, against the teacher.</summary>
public sealed class EvaluationWork(ModelFolders folders, WarmModels models, IOptions<WorkerOptions> worker)
{
    public async Task<WindowsEvaluated> RunAsync(EvaluateWindows command, CancellationToken cancellation)
    {
        var part = EvaluationPart.FromJson(await folders.ReadTextAsync(command.Evaluation, cancellation));
        var teacher = await models.LoadAsync(command.Model, cancellation: cancellation);
        var student = await models.LoadAsync(command.Student, cancellation: cancellation);
        var (ids, options) = command.Data is { } data
            ? Sampled(await folders.OpenAsync(data, cancellation), part, cancellation)
            : Encoded(await TextAsync(part, cancellation), part, student);
        var windows = Scorer.Windows(ids, options);
        var (count, sums) = Score(command, student, teacher, ids, options, windows, cancellation);
        var size = command.Size ?? count;
        var bytes = ArtifactSize.Of(student.Source);
        var result = await StoreAsync(command.Index, count, sums, cancellation);
        return new WindowsEvaluated(
            command.PipelineId, command.Unit, result, (windows + size - 1) / size, size, options.Context, count, sums.Positions, sums.CrossEntropy,
            sums.TeacherCrossEntropy, sums.Divergence, sums.Agreements, bytes.EffectiveBitsPerWeight, bytes.Bytes, bytes.BitsPerParameter);
    }

    /// <summary>The unit's windows; the first unit's are those that its time allows.</summary>
    private (int Count, ScoreSums Sums) Score(
        EvaluateWindows command, WarmModel student, WarmModel teacher, int[] ids, ScoreOptions options, int windows, CancellationToken cancellation)
    {
        var first = command.Index * (command.Size ?? 0);
        var most = Math.Min(windows - first, command.Size ?? windows);
        var sums = new ScoreSums();
        var count = 0;
        var watch = Stopwatch.StartNew();
        while (count < most && (count == 0 || command.Size is not null || watch.Elapsed.TotalSeconds < worker.Value.UnitSeconds))
            sums.Add(Scorer.RunRange(student.Transformer, ids, options, first + count++, 1, teacher.Transformer, cancellation));
        return (count, sums);
    }

    private async Task<Digest> StoreAsync(int index, int windows, ScoreSums sums, CancellationToken cancellation)
    {
        using var work = folders.NewFolder();
        await File.WriteAllTextAsync(
            Path.Combine(work.Path, "score.json"), JsonSerializer.Serialize(new { index, windows, sums }, JsonSerializerOptions.Web), cancellation);
        return await folders.StoreAsync(work, cancellation);
    }

    private async Task<string> TextAsync(EvaluationPart part, CancellationToken cancellation) =>
        EvaluationText.Read(await folders.OpenFileAsync(
            part.Text ?? throw new InvalidInputException("the evaluation has neither a text nor sampled data"), cancellation), part.Layout).Text;

    private static (int[] Ids, ScoreOptions Options) Encoded(string text, EvaluationPart part, WarmModel student)
    {
        var tokenizer = student.Tokenizer ?? throw new InvalidInputException(
            "the model has no tokenizer, so a text cannot be scored", "add tokenizer.json, or leave evaluation.text out");
        return (tokenizer.Encode(text), new ScoreOptions(part.Context ?? Math.Min(2048, student.Transformer.Config.MaxPositions), part.Windows));
    }

    /// <summary>Every sequence of full length is a window.</summary>
    private static (int[] Ids, ScoreOptions Options) Sampled(string folder, EvaluationPart part, CancellationToken cancellation)
    {
        using var tokens = SampledTokens.Open(folder, cancellation);
        var length = Enumerable.Range(0, tokens.Count).Select(tokens.LengthOf).DefaultIfEmpty(0).Max();
        int[] rows = [.. Enumerable.Range(0, tokens.Count).Where(row => tokens.LengthOf(row) == length)];
        var ids = new int[rows.Length * length];
        for (var k = 0; k < rows.Length; k++)
            tokens.Read(rows[k], ids.AsSpan(k * length, length));
        return (ids, new ScoreOptions(length, part.Windows));
    }
}

/// <summary>Does <see cref="EvaluateWindows"/>.</summary>
public sealed class EvaluateWindowsConsumer(UnitRunner runner, EvaluationWork work) : IConsumer<EvaluateWindows>
{
    public Task Consume(ConsumeContext<EvaluateWindows> context) => runner.RunAsync(
        context, (WindowsEvaluated done) => done.Result, stop => work.RunAsync(context.Message, stop));
}
