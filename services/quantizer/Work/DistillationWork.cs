using System.Diagnostics;
using System.Text.Json;
using Microsoft.Extensions.Options;
using Qbb.Contracts;
using Qbb.Models;
using Qbb.Quantizer.Distillation;
using Qbb.Workers;
using Qbb.Workers.Models;

namespace Qbb.Quantizer.Work;

/// <summary>Trains a student's scales, a round of steps at a time.</summary>
public sealed class DistillationWork(ModelFolders folders, IOptions<WorkerOptions> worker)
{
    private const string CheckpointFile = "checkpoint.safetensors";

    public async Task<RoundDistilled> RunAsync(DistillRound command, CancellationToken cancellation)
    {
        var recipe = Read(await folders.ReadTextAsync(command.Distillation, cancellation));
        var teacher = await folders.OpenAsync(command.Model, cancellation);
        var student = await folders.OpenAsync(command.Student, cancellation);
        using var data = SampledFolder.Open(await folders.OpenAsync(command.Data, cancellation), cancellation);
        using var work = folders.NewFolder();
        if (command.Checkpoint is { } before)
            await folders.LayOutAsync(before, work.Path, cancellation);
        var output = Path.Combine(work.Path, "output");
        var round = Run(recipe, teacher, student, data, Path.Combine(work.Path, CheckpointFile), output, cancellation);
        var result = await folders.StoreAsync(round.Finished ? output : work.Path, cancellation);
        return new RoundDistilled(
            command.PipelineId, command.Unit, result, round.Step, round.Steps, round.Finished, round.Start.Kl, round.Best.Kl);
    }

    private DistillationRound Run(
        DistillationRecipe recipe, string teacher, string student, ITokenSequences data, string checkpoint, string output,
        CancellationToken cancellation)
    {
        var watch = Stopwatch.StartNew();
        var distiller = new Distiller(recipe, new DistillationOptions { Device = worker.Value.ReadDevice() });
        return distiller.RunRound(
            student, teacher, data, checkpoint, _ => watch.Elapsed.TotalSeconds >= worker.Value.UnitSeconds, output, cancellation);
    }

    private static DistillationRecipe Read(string json)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            return DistillationRecipeJson.Read(document.RootElement).Resolve();
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or FormatException)
        {
            throw new InvalidInputException($"the recipe's distillation cannot be used: {error.Message}", error);
        }
    }
}
