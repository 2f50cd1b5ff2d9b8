using System.Diagnostics;
using Qbb.Checkpoints;
using Qbb.Cli.Distilling;
using Qbb.Cli.Loading;
using Qbb.Cli.Terminal;
using Qbb.Quantizer.Distillation;
using Qbb.Recipes;

namespace Qbb.Cli.Comparison;

/// <summary>Makes the models of a comparison, each in a folder of its own.</summary>
/// <param name="model">Path of the model.</param>
/// <param name="digest">Of the model.</param>
/// <param name="teacher">The same, loaded.</param>
/// <param name="folder">Where the results go.</param>
/// <param name="plan">What samples and distils.</param>
/// <param name="type">Type that data are made and models are trained in.</param>
/// <param name="steps">Its stages.</param>
/// <param name="output">Takes warnings.</param>
internal sealed class ComparedModels(string model, string digest, LoadedModel teacher, string folder, QuantizationPlan plan, ScalarType type, DistillationSteps steps, Output output)
{
    private string DataFolder => Path.Combine(folder, "data");

    /// <summary>Samples the data that all results share; returns the seconds that took.</summary>
    public double Sample()
    {
        var watch = Stopwatch.StartNew();
        plan.Filter?.Validate();
        plan.Sampling!.Validate();
        using var typed = InType();
        steps.Sample(typed ?? teacher, digest, DataFolder);
        return watch.Elapsed.TotalSeconds;
    }

    /// <summary>Makes the model of a cell, of a distilled one the undistilled before it unless it is there: its folder, and the seconds from the model and the data. Null where the distillation did not help.</summary>
    public (string Folder, double Seconds)? Make(ComparisonCell cell)
    {
        var target = Path.Combine(folder, cell.Folder);
        var watch = Stopwatch.StartNew();
        if (cell.Method.IsLattice)
        {
            steps.QuantizeAsLattice(cell.Bases, model, target, DataFolder);
            return (target, watch.Elapsed.TotalSeconds);
        }
        if (cell.Method.Distills is not { } withSigns)
        {
            steps.Quantize(cell.Recipe, model, target, DataFolder);
            return (target, watch.Elapsed.TotalSeconds);
        }
        var student = Path.Combine(folder, StudentOf(cell).Folder);
        if (!Directory.Exists(student))
            steps.Quantize(cell.Recipe, model, student, DataFolder);
        return Distil(cell, student, target, withSigns) ? (target, watch.Elapsed.TotalSeconds) : null;
    }

    /// <summary>The cell that a distilled one begins with.</summary>
    public static ComparisonCell StudentOf(ComparisonCell cell) => cell with { Method = ComparedMethod.All.First(method => method.Recipe == cell.Method.Recipe && !method.IsLattice) };

    /// <summary>The teacher as qbb quantize has it; null where it is loaded so already.</summary>
    private LoadedModel? InType() => type == teacher.Model.DType ? null : LoadedModel.Open(model, teacher.Model.Device, type);

    private bool Distil(ComparisonCell cell, string student, string target, bool withSigns)
    {
        var kept = Path.Combine(folder, $"kept-{cell.Folder}");
        if (plan.Filter is not null)
        {
            using var typed = InType();
            steps.Filter(typed ?? teacher, digest, student, DataFolder, kept);
        }
        var recipe = plan.Distillation!;
        // The plan's rate is that of its own N.
        var share = QuantizationPlan.Rate(cell.Bases) / QuantizationPlan.Rate(plan.Decomposition.Bases);
        recipe = recipe with { LearningRate = recipe.LearningRate * share, SignRate = withSigns ? recipe.SignRate * share : null };
        try
        {
            steps.Distil(recipe, student, model, plan.Filter is null ? DataFolder : kept, target, force: true);
            return true;
        }
        catch (DistillationRefusedException error)
        {
            output.Warning($"{cell.Title}: {error.Message}");
            return false;
        }
    }
}
