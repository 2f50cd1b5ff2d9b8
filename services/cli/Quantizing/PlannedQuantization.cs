using System.Diagnostics;
using Qbb.Checkpoints;
using Qbb.Cli.Distilling;
using Qbb.Cli.Loading;
using Qbb.Cli.Terminal;
using Qbb.Evaluator.Accounting;
using Qbb.Models;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Distillation;
using Qbb.Quantizer.Driver;
using Qbb.Recipes;
using Qbb.Synthdata.Data;

namespace Qbb.Cli.Quantizing;

/// <summary>
/// Carries out a plan: samples, quantizes, filters and distils; the same samples serve to decompose the layers and to train. Finished stages
/// are kept in a hidden folder beside the output until all are; after an interruption the same call resumes from there.
/// </summary>
/// <param name="plan">The stages.</param>
/// <param name="mixed">How N is chosen layer by layer; null for the plan's.</param>
/// <param name="maxKl">The largest divergence that may be written; null for any.</param>
/// <param name="device">Where.</param>
/// <param name="type">Type to sample and train in.</param>
/// <param name="threads">Threads of the CPU's methods.</param>
internal sealed class PlannedQuantization(QuantizationPlan plan, MixedPlan? mixed, double? maxKl, Device device, ScalarType type, int threads)
{
    /// <summary>Where the stages of an output are kept until it is finished.</summary>
    public static string WorkFolderOf(string output)
    {
        var full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(output));
        return Path.Combine(Path.GetDirectoryName(full)!, $".{Path.GetFileName(full)}.work");
    }

    /// <exception cref="InvalidInputException">Something cannot be used, or the result is farther from the model than it may be; the finished
    /// stages stay.</exception>
    public PlannedResult Run(string model, string folder, bool force, Output output, CancellationToken cancel)
    {
        plan.Sampling!.Validate();
        WrittenFiles.CheckTarget(folder, force, model);
        var watch = Stopwatch.StartNew();
        var work = WorkFolderOf(folder);
        var (samples, student, filtered, distilled) = (Path.Combine(work, "data"), Path.Combine(work, "student"), Path.Combine(work, "filtered"), Path.Combine(work, "distilled"));
        var steps = new DistillationSteps(plan, device, type, threads, output, cancel);
        string digest;
        using (var source = ModelSource.Open(model))
            digest = ProgressBars.Digest(output, source, cancel);
        Directory.CreateDirectory(work);
        using (var teacher = LoadedModel.Open(model, device, type))
            steps.Sample(teacher, digest, samples);
        var recipe = mixed is null ? plan.Decomposition : Choose(model, samples, Path.Combine(work, "sensitivity.json"), output, cancel);
        steps.Quantize(recipe, model, student, samples, calibration => QuantizedModel.IsFinished(student, recipe, digest, calibration?.Digest));
        if (plan.Filter is not null)
        {
            using var teacher = LoadedModel.Open(model, device, type);
            steps.Filter(teacher, digest, student, samples, filtered);
        }
        var training = plan.Distillation is null ? null : Distil(steps, recipe, student, model, plan.Filter is null ? samples : filtered, distilled, output);
        var score = training?.End ?? steps.Score(student, model, samples);
        if (score.Kl > maxKl)
        {
            throw new InvalidInputException(FormattableString.Invariant(
                $"the result's KL divergence on held-out text is {score.Kl:0.0000} nats per token, more than --max-kl {maxKl:g4}: nothing was written; use more bases, a larger --size, --preset best or a larger --max-kl (the finished stages are kept in {work})"));
        }
        ModelFolderWriter.Move(training is null ? student : distilled, folder, force);
        Directory.Delete(work, recursive: true);
        using var written = ModelSource.Open(folder);
        using var original = ModelSource.Open(model);
        return new PlannedResult(
            Path.GetFullPath(folder), plan, recipe, training?.Start ?? score, score, training, ArtifactSize.Of(written), ModelSize.Of(original), watch.Elapsed.TotalSeconds);
    }

    /// <summary>The trained student; null where training did it no good, so that it stays as it was.</summary>
    private DistilledModel? Distil(DistillationSteps steps, Recipe recipe, string student, string model, string data, string distilled, Output output)
    {
        try
        {
            using (var sequences = SampledData.Open(data))
            {
                if (DistilledModel.TryRead(distilled, recipe with { Distillation = plan.Distillation }, sequences.Digest) is { } finished)
                    return finished;
            }
            var result = steps.Distil(plan.Distillation!, student, model, data, distilled, force: true);
            DistillationReport.Warn(output, result);
            return result;
        }
        catch (DistillationRefusedException error)
        {
            output.Warning($"the undistilled model is written: {error.Message}");
            return null;
        }
    }

    private Recipe Choose(string model, string samples, string cache, Output output, CancellationToken cancel)
    {
        using var sequences = new SampledSequences(SampledData.Open(samples, cancel));
        return mixed!.Choose(plan.Decomposition, model, sequences, device, threads, output, cache, cancel);
    }
}

/// <summary>A finished plan.</summary>
/// <param name="Folder">The Hugging Face folder.</param>
/// <param name="Plan">What was planned.</param>
/// <param name="Recipe">The decomposition, with N of every layer where it was chosen.</param>
/// <param name="Start">On held-out text before distillation.</param>
/// <param name="End">On held-out text.</param>
/// <param name="Distilled">The distillation; null without one.</param>
/// <param name="Size">Of the result.</param>
/// <param name="Source">Of the model.</param>
/// <param name="Seconds">Of this run.</param>
internal sealed record PlannedResult(
    string Folder, QuantizationPlan Plan, Recipe Recipe, HeldOutScore Start, HeldOutScore End, DistilledModel? Distilled, ArtifactSize Size, ModelSize Source,
    double Seconds);
