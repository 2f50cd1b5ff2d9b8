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

/// <summary>
/// Trains a student's scales, a round of steps at a time. A training that pauses stays loaded: its next round most often comes here too.
/// </summary>
public sealed class DistillationWork(ModelFolders folders, WarmMemory memory, IOptions<WorkerOptions> worker)
{
    private const string CheckpointFile = "checkpoint.safetensors";

    /// <summary>A worker on a CPU has other things in its memory, and time.</summary>
    private const long MostActivations = 192L << 20;

    /// <summary>Does a round.</summary>
    /// <param name="command">Which.</param>
    /// <param name="cancellation">Stops after the step at hand.</param>
    /// <param name="steps">Ends the round after so many; null: when its time is over.</param>
    public async Task<RoundDistilled> RunAsync(DistillRound command, CancellationToken cancellation, int? steps = null)
    {
        var training = memory.Take<Training>(KeyOf(command, command.Checkpoint)) ?? await OpenAsync(command, cancellation);
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
                round = training.Session.RunRound(
                    Path.Combine(work.Path, CheckpointFile), done => steps is { } most ? done >= most : watch.Elapsed.TotalSeconds >= worker.Value.UnitSeconds, output, cancellation);
            }
            catch (DistillationRefusedException refused)
            {
                // What is not better is not published; the student is as good as it was, and the gate decides on it.
                return new RoundDistilled(
                    command.PipelineId, command.Unit, command.Student, refused.Steps, refused.Steps, Finished: true, refused.StartKl, refused.StartKl,
                    $"published without distillation: {refused.Reason}");
            }
            var storing = Task.Run(() => folders.StoreAsync(round.Finished ? output : work.Path, cancellation), cancellation);
            if (!round.Finished)
                training.Session.RunAhead(() => storing.IsCompleted);
            var result = await storing;
            if (!round.Finished)
            {
                memory.Keep(KeyOf(command, result), training, training.Session.ModelBytes);
                isKept = true;
            }
            return new RoundDistilled(
                command.PipelineId, command.Unit, result, round.Step, round.Steps, round.Finished, round.Start.Kl, round.Best.Kl);
        }
        finally
        {
            if (!isKept)
                training.Dispose();
        }
    }

    // A checkpoint follows from the models; recipe and data are there so that a wrong command cannot meet a right training.
    private static object KeyOf(DistillRound command, Digest? checkpoint) =>
        (nameof(DistillationWork), checkpoint ?? command.Student, command.Distillation, command.Data);

    private async Task<Training> OpenAsync(DistillRound command, CancellationToken cancellation)
    {
        var recipe = DistillationRecipe.FromJson(await folders.ReadTextAsync(command.Distillation, cancellation));
        var teacher = await folders.OpenAsync(command.Model, cancellation);
        var student = await folders.OpenAsync(command.Student, cancellation);
        var sequences = new SampledSequences(SampledTokens.Open(await folders.OpenAsync(command.Data, cancellation), cancellation));
        try
        {
            var distiller = new Distiller(recipe, DistillationOptions.On(worker.Value.ReadDevice(), recipe) with { ActivationBytes = MostActivations })
            {
                DigestOf = (source, _) => folders.DigestOf(source.Path == teacher ? command.Model : command.Student, source),
            };
            var session = distiller.Open(student, teacher, sequences, cancellation);
            memory.MakeRoom(session.ModelBytes);
            return new Training(session, sequences);
        }
        catch
        {
            sequences.Dispose();
            throw;
        }
    }

    /// <summary>A training and the data that it reads.</summary>
    private sealed record Training(DistillationSession Session, IDisposable Sequences) : IDisposable
    {
        public void Dispose()
        {
            Session.Dispose();
            Sequences.Dispose();
        }
    }
}

/// <summary>Does <see cref="DistillRound"/>.</summary>
public sealed class DistillRoundConsumer(UnitRunner runner, DistillationWork work) : IConsumer<DistillRound>
{
    public Task Consume(ConsumeContext<DistillRound> context) => runner.RunAsync(
        context, (RoundDistilled done) => done.Result, stop => work.RunAsync(context.Message, stop));
}
