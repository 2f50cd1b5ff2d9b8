using System.Text.Json.Nodes;
using Qbb.Models;
using Qbb.Models.Checkpoints;
using Qbb.Quantizer.Artifacts;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Distillation;
using Qbb.Quantizer.Layers;
using Qbb.Quantizer.Recipes;
using Qbb.Models.Generation;
using Qbb.Standalone.Loading;
using Qbb.Standalone.Terminal;
using Qbb.Synthdata.Data;
using Qbb.Synthdata.Filtering;
using Qbb.Synthdata.Sampling;

namespace Qbb.Standalone.Distilling;

/// <summary>
/// Samples, quantizes, filters and distils in one go; the same samples serve to decompose the layers, where the recipe wants calibration,
/// and to train the scales. What is finished lies in a hidden folder beside the output until all is; the same call continues from there
/// after an interruption.
/// </summary>
/// <param name="recipe">Of the decomposition; has no distillation.</param>
/// <param name="plan">What belongs to it.</param>
/// <param name="threads">Threads of the CPU's methods.</param>
internal sealed class DistilledQuantization(Recipe recipe, DistillationPlan plan, int threads)
{
    private const int MostCalibrationSequences = 512;

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
        ModelFolderWriter.CheckTarget(folder, force);
        var work = WorkFolderOf(folder);
        var (student, filtered) = (Path.Combine(work, "student"), Path.Combine(work, "filtered"));
        using (var teacher = LoadedModel.Open(model, plan.Device, plan.Type))
        {
            var digest = ModelDigest.Compute(teacher.Source, cancel);
            plan.Sampling(teacher.Model.Config.MaxPositions).Validate();
            Directory.CreateDirectory(work);
            using var data = Sample(teacher, digest, Path.Combine(work, "data"), output, cancel);
            Quantize(model, student, digest, Path.Combine(work, "data"), output, cancel);
            Filter(teacher, digest, student, data, filtered, output, cancel);
        }
        using var sequences = SampledSequences.Open(filtered, cancel);
        var distiller = new Distiller(plan.Distillation, new DistillationOptions { Device = plan.Device, Force = force });
        var result = ProgressBars.Run(output, "distilling", report => distiller.Run(
            student, model, sequences, folder, DistillationReport.Progress(report), cancel));
        Directory.Delete(work, recursive: true);
        return result;
    }

    private void Quantize(string model, string student, string teacherDigest, string data, Output output, CancellationToken cancel)
    {
        using var sequences = recipe.Importance == Importance.None ? null : SampledSequences.Open(data, cancel);
        var calibration = sequences is null ? null : new CalibrationStream(sequences, new CalibrationOptions
        {
            Sequences = Math.Min(sequences.Count, MostCalibrationSequences),
            Device = plan.Device,
        });
        if (IsQuantized(student, teacherDigest, calibration))
            return;
        var method = LayerMethods.For(recipe, plan.Device, threads);
        using var owned = method as IDisposable;
        var quantizer = new ModelQuantizer(recipe, method, calibration: calibration);
        ProgressBars.Run(output, "quantizing", report => quantizer.Run(model, student, force: true,
            new Relay<QuantizeProgress>(p => report(p.Done, p.Total, $"{p.Layer} error {p.RelativeError:0.00000}")), cancel));
    }

    private bool IsQuantized(string student, string teacherDigest, CalibrationStream? calibration)
    {
        var path = Path.Combine(student, "metrics.json");
        return File.Exists(path) && JsonNode.Parse(File.ReadAllText(path)) is JsonObject metrics
            && metrics["modelDigest"]?.ToString() == teacherDigest && metrics["recipeDigest"]?.ToString() == recipe.Digest
            && metrics["calibration"]?["digest"]?.ToString() == calibration?.Digest;
    }

    private SampledData Sample(LoadedModel teacher, string digest, string folder, Output output, CancellationToken cancel)
    {
        var options = plan.Sampling(teacher.Model.Config.MaxPositions);
        var source = new Teacher(teacher.Model, digest, teacher.TryTokenizer, StopIds.Of(teacher.Source));
        var batch = BatchSize.Default(teacher.Model.Config, options.Length, plan.Device, plan.Type);
        var result = ProgressBars.Run(output, "sampling", report => new DataSampler(source, options, batch).Run(folder, force: true,
            new Relay<SampleProgress>(p => report(p.Done, p.Total, $"{p.TokensPerSecond:N0} tokens/s")), cancel));
        foreach (var warning in result.Manifest.Report.Warnings)
            output.Warning(warning);
        return SampledData.Open(folder, cancel);
    }

    private void Filter(
        LoadedModel teacher, string digest, string student, SampledData data, string folder, Output output, CancellationToken cancel)
    {
        using var loaded = LoadedModel.Open(student, plan.Device, plan.Type);
        var studentDigest = ModelDigest.Compute(loaded.Source, cancel);
        if (IsFiltered(folder, data, studentDigest))
            return;
        var pair = new ScoredPair(teacher.Model, digest, loaded.Model, studentDigest);
        ProgressBars.Run(output, "filtering", report => new DataFilter(plan.Filter).Run(data, pair, folder, force: true,
            new Relay<FilterProgress>(p => report(p.Done, p.Total, $"mean difference {p.MeanScore:0.0000}")), cancel));
    }

    private bool IsFiltered(string folder, SampledData data, string studentDigest)
    {
        if (!File.Exists(Path.Combine(folder, DataManifest.FileName)))
            return false;
        using var found = SampledData.Open(folder);
        return found.Manifest.Filter is { } filter
            && filter.Source == data.Digest && filter.Student == studentDigest && filter.Keep == plan.Keep;
    }
}
