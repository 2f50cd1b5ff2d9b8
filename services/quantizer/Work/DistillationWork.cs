using System.Diagnostics;
using MassTransit;
using Microsoft.Extensions.Options;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Distillation;
using Qbb.Recipes;
using Qbb.Workers;
using Qbb.Workers.Data;
using Qbb.Workers.Models;
using Qbb.Workers.Units;

namespace Qbb.Quantizer.Work;

/// <summary>Trains a student's scales, a round of steps at a time.</summary>
public sealed class DistillationWork(ModelFolders folders, WarmTraining warm, IOptions<WorkerOptions> worker)
{
    private const string CheckpointFile = "checkpoint.safetensors";

    public async Task<RoundDistilled> RunAsync(DistillRound command, CancellationToken cancellation)
    {
        var (session, sequences) = warm.Take(command) ?? await OpenAsync(command, cancellation);
        var isKept = false;
        try
        {
            // Needed where the training goes back to it, and at the end, where the student's other files are copied.
            await folders.OpenAsync(command.Student, cancellation);
            using var work = folders.NewFolder();
            if (command.Checkpoint is { } before)
                await folders.LayOutAsync(before, work.Path, cancellation);
            var output = Path.Combine(work.Path, "output");
            var watch = Stopwatch.StartNew();
            DistillationRound round;
            try
            {
                round = session.RunRound(
                    Path.Combine(work.Path, CheckpointFile), _ => watch.Elapsed.TotalSeconds >= worker.Value.UnitSeconds, output, cancellation);
            }
            catch (DistillationRefusedException refused)
            {
                // What is no better is not published; the student is as good as it was, and the gate decides on it.
                return new RoundDistilled(
                    command.PipelineId, command.Unit, command.Student, refused.Steps, refused.Steps, Finished: true, refused.StartKl, refused.StartKl,
                    $"published without distillation: {refused.Reason}");
            }
            var result = await folders.StoreAsync(round.Finished ? output : work.Path, cancellation);
            if (!round.Finished)
            {
                warm.Keep(command, result, session, sequences);
                isKept = true;
            }
            return new RoundDistilled(
                command.PipelineId, command.Unit, result, round.Step, round.Steps, round.Finished, round.Start.Kl, round.Best.Kl);
        }
        finally
        {
            if (!isKept)
            {
                session.Dispose();
                sequences.Dispose();
            }
        }
    }

    private async Task<(DistillationSession Session, IDisposable Sequences)> OpenAsync(DistillRound command, CancellationToken cancellation)
    {
        var recipe = DistillationRecipe.FromJson(await folders.ReadTextAsync(command.Distillation, cancellation));
        var teacher = await folders.OpenAsync(command.Model, cancellation);
        var student = await folders.OpenAsync(command.Student, cancellation);
        var sequences = new SampledSequences(SampledTokens.Open(await folders.OpenAsync(command.Data, cancellation), cancellation));
        try
        {
            var distiller = new Distiller(recipe, new DistillationOptions { Device = worker.Value.ReadDevice() });
            return (distiller.Open(student, teacher, sequences, cancellation), sequences);
        }
        catch
        {
            sequences.Dispose();
            throw;
        }
    }
}

/// <summary>Does <see cref="DistillRound"/>.</summary>
public sealed class DistillRoundConsumer(UnitRunner runner, DistillationWork work) : IConsumer<DistillRound>
{
    public Task Consume(ConsumeContext<DistillRound> context) => runner.RunAsync(
        context, (RoundDistilled done) => done.Result, stop => work.RunAsync(context.Message, stop));
}
