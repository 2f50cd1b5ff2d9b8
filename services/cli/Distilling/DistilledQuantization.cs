using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Cli.Loading;
using Qbb.Cli.Quantizing;
using Qbb.Cli.Terminal;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Distillation;
using Qbb.Recipes;
using Qbb.Synthdata.Data;

namespace Qbb.Cli.Distilling;

/// <summary>
/// Samples, quantizes, filters and distils in one go; the same samples serve to decompose the layers, where the recipe wants calibration,
/// and to train the scales. What is finished lies in a hidden folder beside the output until all is; the same call continues from there
/// after an interruption.
/// </summary>
/// <param name="recipe">Of the decomposition; has no distillation.</param>
/// <param name="plan">What belongs to it.</param>
/// <param name="mixed">How N is chosen layer by layer; null for the recipe's.</param>
/// <param name="threads">Threads of the CPU's methods.</param>
internal sealed class DistilledQuantization(Recipe recipe, DistillationPlan plan, MixedPlan? mixed, int threads)
{
    /// <summary>Where the parts of an output lie until it is finished.</summary>
    public static string WorkFolderOf(string output)
    {
        var full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(output));
        return Path.Combine(Path.GetDirectoryName(full)!, $".{Path.GetFileName(full)}.distill");
    }

    /// <exception cref="InvalidInputException">Something cannot be used, or the distilled student was no better; the finished parts
    /// stay.</exception>
    public DistilledModel Run(string model, string folder, bool force, Output output, CancellationToken cancel)
    {
        plan.Filter.Validate();
        WrittenFiles.CheckTarget(folder, force);
        var work = WorkFolderOf(folder);
        var (samples, student, filtered) = (Path.Combine(work, "data"), Path.Combine(work, "student"), Path.Combine(work, "filtered"));
        var steps = new DistillationSteps(plan, threads, output, cancel);
        using (var teacher = LoadedModel.Open(model, plan.Device, plan.Type))
        {
            var digest = ProgressBars.Digest(output, teacher.Source, cancel);
            plan.Sampling(teacher.Model.Config.MaxPositions).Validate();
            Directory.CreateDirectory(work);
            using var data = steps.Sample(teacher, digest, samples);
            var chosen = mixed is null ? recipe : Choose(model, samples, output, cancel);
            steps.Quantize(chosen, model, student, samples, calibration => IsQuantized(chosen, student, digest, calibration));
            if (plan.Filters)
                steps.Filter(teacher, digest, student, data, filtered);
        }
        var result = steps.Distil(student, model, plan.Filters ? filtered : samples, folder, force);
        Directory.Delete(work, recursive: true);
        return result;
    }

    private Recipe Choose(string model, string samples, Output output, CancellationToken cancel)
    {
        using var sequences = new SampledSequences(SampledData.Open(samples, cancel));
        return mixed!.Choose(recipe, model, sequences, plan.Device, threads, output, cancel);
    }

    private static bool IsQuantized(Recipe recipe, string student, string teacherDigest, CalibrationStream? calibration)
    {
        var path = Path.Combine(student, "metrics.json");
        return File.Exists(path) && JsonNode.Parse(File.ReadAllText(path)) is JsonObject metrics
            && metrics["modelDigest"]?.ToString() == teacherDigest && metrics["recipeDigest"]?.ToString() == recipe.Digest
            && metrics["calibration"]?["digest"]?.ToString() == calibration?.Digest;
    }
}
