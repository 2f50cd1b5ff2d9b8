using System.Diagnostics;
using System.Text.Json;
using MassTransit;
using Microsoft.Extensions.Options;
using Qbb.Recipes;
using Qbb.Synthdata.Data;
using Qbb.Synthdata.Filtering;
using Qbb.Workers;
using Qbb.Workers.Models;
using Qbb.Workers.Units;

namespace Qbb.Synthdata.Work;

/// <summary>Scores parts of the data, and keeps the sequences of the highest scores.</summary>
public sealed class FilterWork(ModelFolders folders, WarmModels models, IOptions<WorkerOptions> worker)
{
    private const string ScoresFile = "scores.json";

    public async Task<SequencesScored> ScoreAsync(ScoreSequences command, CancellationToken cancellation)
    {
        var options = await OptionsAsync(command.Filter, cancellation);
        using var data = SampledData.Open(await folders.OpenAsync(command.Data, cancellation), cancellation);
        var pair = KeepsAll(options) ? null : await PairAsync(command.Model, command.Student, cancellation);
        var scores = pair is null ? [] : Score(new DataFilter(options), options.Batch, data, pair, command, cancellation);
        var size = command.Size ?? (pair is null ? data.Count : scores.Count);
        using var work = folders.NewFolder();
        await File.WriteAllTextAsync(Path.Combine(work.Path, ScoresFile), JsonSerializer.Serialize(scores), cancellation);
        var result = await folders.StoreAsync(work, cancellation);
        return new SequencesScored(command.PipelineId, command.Unit, result, (data.Count + size - 1) / size, size);
    }

    public async Task<SequencesFiltered> FilterAsync(FilterSequences command, CancellationToken cancellation)
    {
        var options = await OptionsAsync(command.Filter, cancellation);
        using var data = SampledData.Open(await folders.OpenAsync(command.Data, cancellation), cancellation);
        if (KeepsAll(options))
            return new SequencesFiltered(command.PipelineId, command.Unit, command.Data, data.Count);
        var scores = new List<double>(data.Count);
        foreach (var part in command.Scores)
        {
            var path = Path.Combine(await folders.OpenAsync(part, cancellation), ScoresFile);
            scores.AddRange(JsonSerializer.Deserialize<double[]>(await File.ReadAllBytesAsync(path, cancellation))!);
        }
        var pair = await PairAsync(command.Model, command.Student, cancellation);
        using var work = folders.NewFolder();
        var folder = Path.Combine(work.Path, "filtered");
        var manifest = new DataFilter(options).Keep(data, [.. scores], pair.TeacherDigest, pair.StudentDigest, folder, cancellation);
        return new SequencesFiltered(command.PipelineId, command.Unit, await folders.StoreAsync(folder, cancellation), manifest.Sequences);
    }

    /// <summary>The unit's part of the scores; the first unit's part is what its time allows, in whole batches.</summary>
    private List<double> Score(
        DataFilter filter, int batch, SampledData data, ScoredPair pair, ScoreSequences command, CancellationToken cancellation)
    {
        var first = command.Index * (command.Size ?? 0);
        var end = Math.Min(data.Count, first + (command.Size ?? data.Count));
        var scores = new List<double>();
        var watch = Stopwatch.StartNew();
        while (first + scores.Count < end && (command.Size is not null || watch.Elapsed.TotalSeconds < worker.Value.UnitSeconds))
        {
            var next = first + scores.Count;
            scores.AddRange(filter.Score(data, pair, next, Math.Min(batch, end - next), cancellation));
        }
        return scores;
    }

    // A filter that keeps everything gives the data themselves.
    private static bool KeepsAll(FilterOptions options) => options is { Keep: 1, Random: false };

    private async Task<ScoredPair> PairAsync(Digest model, Digest student, CancellationToken cancellation)
    {
        var teacher = await models.LoadAsync(model, cancellation: cancellation);
        var learner = await models.LoadAsync(student, cancellation: cancellation);
        return new ScoredPair(teacher.Transformer, teacher.Digest, learner.Transformer, learner.Digest);
    }

    private async Task<FilterOptions> OptionsAsync(Digest part, CancellationToken cancellation) =>
        FilterOptions.FromJson(await folders.ReadTextAsync(part, cancellation));
}

/// <summary>Does <see cref="ScoreSequences"/>.</summary>
public sealed class ScoreSequencesConsumer(UnitRunner runner, FilterWork work) : IConsumer<ScoreSequences>
{
    public Task Consume(ConsumeContext<ScoreSequences> context) => runner.RunAsync(
        context, (SequencesScored done) => done.Result, stop => work.ScoreAsync(context.Message, stop));
}

/// <summary>Does <see cref="FilterSequences"/>.</summary>
public sealed class FilterSequencesConsumer(UnitRunner runner, FilterWork work) : IConsumer<FilterSequences>
{
    public Task Consume(ConsumeContext<FilterSequences> context) => runner.RunAsync(
        context, (SequencesFiltered done) => done.Result, stop => work.FilterAsync(context.Message, stop));
}
