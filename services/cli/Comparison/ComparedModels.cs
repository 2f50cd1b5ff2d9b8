using System.Diagnostics;
using Qbb.Checkpoints;
using Qbb.Cli.Distilling;
using Qbb.Cli.Loading;
using Qbb.Cli.Terminal;
using Qbb.Quantizer.Distillation;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Methods;
using Qbb.Recipes;
using Qbb.Synthdata.Data;

namespace Qbb.Cli.Comparison;

/// <summary>Makes the models of a comparison, each in a folder of its own.</summary>
/// <param name="model">Path of the model.</param>
/// <param name="teacher">The same, loaded.</param>
/// <param name="folder">Where the results go.</param>
/// <param name="plan">What calibrates and distils; null for weights alone.</param>
/// <param name="device">Where layers are quantized.</param>
/// <param name="type">Type to sample and train in.</param>
/// <param name="threads">Threads of the CPU's methods.</param>
/// <param name="force">Replace results that exist.</param>
/// <param name="output">Takes bars and warnings.</param>
/// <param name="cancel">Stops in the middle.</param>
internal sealed class ComparedModels(
    string model, LoadedModel teacher, string folder, QuantizationPlan? plan, Device device, ScalarType type, int threads, bool force, Output output,
    CancellationToken cancel)
{
    private readonly DistillationSteps? _steps = plan is null ? null : new DistillationSteps(plan, device, type, threads, output, cancel);
    private string _digest = "";

    private string DataFolder => Path.Combine(folder, "data");

    /// <summary>Samples the data that all results share; returns the seconds that took.</summary>
    public double Sample()
    {
        if (plan is null)
            return 0;
        var watch = Stopwatch.StartNew();
        plan.Filter?.Validate();
        plan.Sampling!.Validate();
        _digest = ProgressBars.Digest(output, teacher.Source, cancel);
        Directory.CreateDirectory(folder);
        _steps!.Sample(teacher, _digest, DataFolder);
        return watch.Elapsed.TotalSeconds;
    }

    /// <summary>Makes the models with N bases one after the other: name, folder, and seconds to make it from the model and the data.</summary>
    public IEnumerable<(string Name, string Folder, double Seconds)> Make(int bases, int? group)
    {
        var weightsAlone = new Recipe { Bases = bases, Group = group };
        var rounding = weightsAlone with { Init = Init.Rtn, Refinement = Refinement.None };
        yield return Timed("rtn", bases, target => Quantize("round to nearest", rounding, target));
        yield return Timed("qbb", bases, target => Quantize("qbb", weightsAlone, target));
        if (plan is null)
            yield break;
        var calibrated = Timed("qbb calibrated", bases, target =>
        {
            WrittenFiles.CheckTarget(target, force);
            _steps!.Quantize(weightsAlone with { Importance = Importance.Full }, model, target, DataFolder);
            return true;
        });
        yield return calibrated;
        var distilled = Timed("qbb distilled", bases, target => Distil(calibrated.Folder, target, bases));
        if (distilled.Folder.Length > 0)
            yield return distilled with { Seconds = calibrated.Seconds + distilled.Seconds };
    }

    /// <summary>Refuses, before any work is done, results that must not be replaced.</summary>
    public static void CheckTargets(string folder, IEnumerable<int> bases, bool distils, bool force)
    {
        foreach (var name in bases.SelectMany(n => (string[])[TargetName("rtn", n), TargetName("qbb", n), .. distils ? [TargetName("qbb calibrated", n), TargetName("qbb distilled", n)] : (string[])[]]))
            WrittenFiles.CheckTarget(Path.Combine(folder, name), force);
    }

    private static string TargetName(string name, int bases) => $"{name.Replace(' ', '-')}-{bases}";

    private (string Name, string Folder, double Seconds) Timed(string name, int bases, Func<string, bool> make)
    {
        var target = Path.Combine(folder, TargetName(name, bases));
        var watch = Stopwatch.StartNew();
        return ($"{name.Replace("qbb ", "")}, N = {bases}", make(target) ? target : "", watch.Elapsed.TotalSeconds);
    }

    private bool Quantize(string name, Recipe recipe, string target)
    {
        var method = LayerMethods.For(recipe.Resolve(), device, threads);
        using var owned = method as IDisposable;
        ProgressBars.Run(output, $"{name}, N = {recipe.Bases}", report => new ModelQuantizer(recipe, method).Run(model, target, force,
            new Relay<QuantizeProgress>(p => report(p.Done, p.Total, p.Layer)), cancel));
        return true;
    }

    private bool Distil(string student, string target, int bases)
    {
        var kept = Path.Combine(folder, $"kept-{bases}");
        if (plan!.Filter is not null)
            _steps!.Filter(teacher, _digest, student, DataFolder, kept);
        try
        {
            // The plan's rate is that of its own N.
            var rate = plan.Distillation!.LearningRate * QuantizationPlan.Rate(bases) / QuantizationPlan.Rate(plan.Decomposition.Bases);
            _steps!.Distil(plan.Distillation with { LearningRate = rate }, student, model, plan.Filter is null ? DataFolder : kept, target, force);
            return true;
        }
        catch (DistillationRefusedException error)
        {
            output.Warning($"N = {bases}: {error.Message}");
            return false;
        }
    }
}
