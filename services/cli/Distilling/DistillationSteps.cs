using Qbb.Cli.Loading;
using Qbb.Cli.Terminal;
using Qbb.Models.Generation;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Distillation;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Methods;
using Qbb.Recipes;
using Qbb.Synthdata.Data;
using Qbb.Synthdata.Filtering;
using Qbb.Synthdata.Sampling;

namespace Qbb.Cli.Distilling;

/// <summary>The steps from a teacher to a distilled student, each from folder to folder, with a bar.</summary>
/// <param name="plan">Where and how.</param>
/// <param name="threads">Threads of the CPU's methods.</param>
/// <param name="output">Takes bars and warnings.</param>
/// <param name="cancel">Stops in the middle of a step.</param>
internal sealed class DistillationSteps(DistillationPlan plan, int threads, Output output, CancellationToken cancel)
{
    /// <summary>Samples what is missing in a folder.</summary>
    public SampledData Sample(LoadedModel teacher, string digest, string folder)
    {
        var options = plan.Sampling(teacher.Model.Config.MaxPositions);
        var source = new Teacher(teacher.Model, digest, teacher.TryTokenizer, StopIds.Of(teacher.Source));
        var batch = BatchSize.Default(teacher.Model.Config, options.Length, plan.Device, plan.Type);
        var result = ProgressBars.Run(output, "sampling data", report => new DataSampler(source, options, batch).Run(folder, force: true,
            new Relay<SampleProgress>(p => report(p.Done, p.Total, $"{p.TokensPerSecond:N0} tokens/s")), cancel));
        foreach (var warning in result.Manifest.Report.Warnings)
            output.Warning(warning);
        return SampledData.Open(folder, cancel);
    }

    /// <summary>Quantizes the teacher; on the samples where the recipe wants calibration.</summary>
    /// <param name="recipe">Of the decomposition.</param>
    /// <param name="model">The teacher.</param>
    /// <param name="student">The folder to make.</param>
    /// <param name="data">The folder of the samples.</param>
    /// <param name="isDone">Asked whether the folder is there already, for a calibration or none.</param>
    public void Quantize(Recipe recipe, string model, string student, string data, Func<CalibrationStream?, bool>? isDone = null)
    {
        using var sequences = recipe.Importance == Importance.None ? null : new SampledSequences(SampledData.Open(data, cancel));
        var calibration = sequences is null ? null : new CalibrationStream(sequences, new CalibrationOptions
        {
            Sequences = Math.Min(sequences.Count, CalibrationOptions.MostSampled),
            Device = plan.Device,
        });
        if (isDone?.Invoke(calibration) == true)
            return;
        var method = LayerMethods.For(recipe, plan.Device, threads);
        using var owned = method as IDisposable;
        var quantizer = new ModelQuantizer(recipe, method, calibration: calibration);
        var title = recipe.BasesPerLayer is null ? $"quantizing, N = {recipe.Bases}" : "quantizing";
        ProgressBars.Run(output, title, report => quantizer.Run(model, student, force: true,
            new Relay<QuantizeProgress>(p => report(p.Done, p.Total, $"{p.Layer} error {p.RelativeError:0.00000}")), cancel));
    }

    /// <summary>Keeps the plan's share of the samples.</summary>
    public void Filter(LoadedModel teacher, string digest, string student, SampledData data, string folder)
    {
        using var loaded = LoadedModel.Open(student, plan.Device, plan.Type);
        var studentDigest = ProgressBars.Digest(output, loaded.Source, cancel);
        if (IsFiltered(folder, data, studentDigest))
            return;
        var pair = new ScoredPair(teacher.Model, digest, loaded.Model, studentDigest);
        ProgressBars.Run(output, "filtering", report => new DataFilter(plan.Filter).Run(data, pair, folder, force: true,
            new Relay<FilterProgress>(p => report(p.Done, p.Total, $"mean difference {p.MeanScore:0.0000}")), cancel));
    }

    /// <summary>Trains a student's scales on a folder of samples.</summary>
    public DistilledModel Distil(string student, string teacher, string data, string folder, bool force)
    {
        using var sequences = new SampledSequences(SampledData.Open(data, cancel));
        var distiller = new Distiller(plan.Distillation, new DistillationOptions { Device = plan.Device, Force = force });
        return ProgressBars.Run(output, "distilling", report => distiller.Run(
            student, teacher, sequences, folder, DistillationReport.Progress(report), cancel));
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
