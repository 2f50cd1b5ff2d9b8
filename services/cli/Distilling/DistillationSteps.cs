using Qbb.Cli.Calibrating;
using Qbb.Cli.Loading;
using Qbb.Cli.Terminal;
using Qbb.Models;
using Qbb.Models.Generation;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Distillation;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Methods.Lattice;
using Qbb.Recipes;
using Qbb.Synthdata.Data;
using Qbb.Synthdata.Filtering;
using Qbb.Synthdata.Sampling;

namespace Qbb.Cli.Distilling;

/// <summary>The stages of a plan, each from folder to folder, with a bar.</summary>
/// <param name="plan">What to do.</param>
/// <param name="device">Where.</param>
/// <param name="type">Type to calculate in.</param>
/// <param name="threads">Threads of the CPU's methods.</param>
/// <param name="output">Takes bars and warnings.</param>
/// <param name="cancel">Stops in the middle of a stage.</param>
internal sealed class DistillationSteps(QuantizationPlan plan, Device device, ScalarType type, int threads, Output output, CancellationToken cancel)
{
    /// <summary>What models are calibrated on instead of the samples; null for those.</summary>
    public TokenSequences? CalibrationText { get; init; }

    /// <summary>Samples what is missing in a folder.</summary>
    public void Sample(LoadedModel teacher, string digest, string folder)
    {
        var options = plan.Sampling!;
        var source = new Teacher(teacher.Model, digest, teacher.TryTokenizer, StopIds.Of(teacher.Source));
        var batch = BatchSize.Default(teacher.Model.Config, options.Length, device, type);
        var result = ProgressBars.Run(output, "sampling data", report => new DataSampler(source, options, batch).Run(folder, force: true,
            new Relay<SampleProgress>(p => report(p.Done, p.Total, $"{p.TokensPerSecond:N0} tokens/s")), cancel));
        foreach (var warning in result.Manifest.Report.Warnings)
            output.Warning(warning);
    }

    /// <summary>Quantizes the teacher; on the samples where the recipe wants calibration.</summary>
    /// <param name="recipe">Of the decomposition.</param>
    /// <param name="model">The teacher.</param>
    /// <param name="student">The folder to make.</param>
    /// <param name="data">The folder of the samples.</param>
    /// <param name="isDone">Asked whether the folder is there already, for a calibration or none.</param>
    public void Quantize(Recipe recipe, string model, string student, string data, Func<CalibrationStream?, bool>? isDone = null)
    {
        using var open = recipe.Importance == Importance.None ? null : OpenCalibration(data);
        var calibration = open?.Stream;
        if (isDone?.Invoke(calibration) == true)
            return;
        var method = LayerMethods.For(recipe, device, threads);
        using var owned = method as IDisposable;
        var quantizer = new ModelQuantizer(recipe, method, calibration: calibration);
        var title = recipe.BasesPerLayer is null ? $"quantizing, N = {recipe.Bases}" : "quantizing";
        ProgressBars.Run(output, title, report => quantizer.Run(model, student, force: true, Bar(report), cancel));
    }

    /// <summary>Quantizes the teacher by QuIP#, into plain weights.</summary>
    /// <param name="bits">Of its codes.</param>
    /// <param name="model">The teacher.</param>
    /// <param name="target">The folder to make.</param>
    /// <param name="data">The folder of the samples.</param>
    public void QuantizeAsLattice(int bits, string model, string target, string data)
    {
        using var calibration = OpenCalibration(data);
        var quantizer = new PlainQuantizer(new QuipMethod(bits, threads), calibration.Stream);
        ProgressBars.Run(output, $"quantizing, QuIP#, {bits} bits", report => quantizer.Run(model, target, force: true, Bar(report), cancel));
    }

    /// <summary>The divergence of a student on the samples that it was not calibrated on, or on all where it was calibrated on all.</summary>
    public HeldOutScore Score(string student, string teacher, string data)
    {
        using var sequences = new SampledSequences(SampledData.Open(data, cancel));
        var (all, used) = (sequences.Count, Math.Min(sequences.Count, plan.CalibrationSequences));
        var calibrated = EvenSpread.Of(used, all).ToHashSet();
        var others = Enumerable.Range(0, all).Where(k => !calibrated.Contains(k)).ToList();
        var recipe = new DistillationRecipe { Precision = type.ToPrecision(), Batch = 4 };
        return ProgressBars.Run(output, "scoring", _ => new Distiller(recipe, new DistillationOptions { Device = device })
            .Score(student, teacher, sequences, others.Count > 0 ? others : [.. calibrated], cancel));
    }

    /// <summary>Keeps the plan's share of the samples.</summary>
    public void Filter(LoadedModel teacher, string digest, string student, string samples, string folder)
    {
        using var data = SampledData.Open(samples, cancel);
        using var loaded = LoadedModel.Open(student, device, type);
        var studentDigest = ProgressBars.Digest(output, loaded.Source, cancel);
        if (IsFiltered(folder, data, studentDigest))
            return;
        var pair = new ScoredPair(teacher.Model, digest, loaded.Model, studentDigest);
        ProgressBars.Run(output, "filtering", report => new DataFilter(plan.Filter!).Run(data, pair, folder, force: true,
            new Relay<FilterProgress>(p => report(p.Done, p.Total, $"mean difference {p.MeanScore:0.0000}")), cancel));
    }

    /// <summary>Trains a student on a folder of samples.</summary>
    public DistilledModel Distil(DistillationRecipe recipe, string student, string teacher, string data, string folder, bool force)
    {
        using var sequences = new SampledSequences(SampledData.Open(data, cancel));
        var distiller = new Distiller(recipe, DistillationOptions.On(device, recipe) with { Force = force });
        return ProgressBars.Run(output, "distilling", report => distiller.Run(
            student, teacher, sequences, folder, DistillationReport.Progress(report), cancel));
    }

    private OpenCalibration OpenCalibration(string data)
    {
        var sequences = CalibrationText ?? (ITokenSequences)new SampledSequences(SampledData.Open(data, cancel));
        var most = CalibrationText is null ? plan.CalibrationSequences : CalibrationChoices.UsualTextSequences;
        return new(new CalibrationStream(sequences, new CalibrationOptions
        {
            Sequences = Math.Min(sequences.Count, most),
            Device = device,
            DType = CalibrationOptions.TypeOn(device, type),
        }), sequences);
    }

    private static Relay<QuantizeProgress> Bar(Action<double, double, string> report) =>
        new(p => report(p.Done, p.Total, $"{p.Layer} error {p.RelativeError:0.00000}"));

    private bool IsFiltered(string folder, SampledData data, string studentDigest)
    {
        if (!File.Exists(Path.Combine(folder, DataManifest.FileName)))
            return false;
        using var found = SampledData.Open(folder);
        return found.Manifest.Filter is { } filter
            && filter.Source == data.Digest && filter.Student == studentDigest && filter.Keep == plan.Filter!.Keep;
    }
}
