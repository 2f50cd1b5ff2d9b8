using System.Globalization;
using Qbb.Checkpoints;
using Qbb.Cli.Terminal;
using Qbb.Models;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Distillation;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Mixed;
using Qbb.Recipes;

namespace Qbb.Cli.Quantizing;

/// <summary>How N is chosen layer by layer.</summary>
/// <param name="Bits">The budget per weight.</param>
/// <param name="Options">The range of N, and how much to measure on.</param>
/// <param name="File">Keeps what was measured; null for nowhere.</param>
internal sealed record MixedPlan(double Bits, SensitivityOptions Options, string? File)
{
    /// <summary>The recipe with N of every layer.</summary>
    /// <param name="recipe">Of the decomposition.</param>
    /// <param name="model">The model.</param>
    /// <param name="data">What to measure on.</param>
    /// <param name="device">Where.</param>
    /// <param name="threads">Threads of the CPU's methods.</param>
    /// <param name="output">Takes a bar, and what was chosen.</param>
    /// <param name="cancel">Stops measuring.</param>
    public Recipe Choose(Recipe recipe, string model, ITokenSequences data, Device device, int threads, Output output, CancellationToken cancel)
    {
        if (recipe.Nested)
            throw new InvalidInputException("--nested and --bits do not go together: a nested model has the same bases in every layer");
        var sensitivity = Measure(recipe, model, data, device, threads, output, cancel);
        var bases = sensitivity.Allocate(Bits);
        var counts = bases.GroupBy(layer => layer.Value).OrderBy(group => group.Key).Select(group => $"N = {group.Key} in {group.Count()} layers");
        output.Note(string.Create(CultureInfo.InvariantCulture,
            $"{sensitivity.BitsOf(bases):0.000} of {Bits:0.###} bits/weight: {string.Join(", ", counts)}; "
            + $"sum of the layers' KL {sensitivity.SumOfKl(bases):0.0000}"));
        return (recipe with { Bits = Bits, BasesPerLayer = bases }).Resolve();
    }

    private Sensitivity Measure(
        Recipe recipe, string model, ITokenSequences data, Device device, int threads, Output output, CancellationToken cancel)
    {
        var meter = new SensitivityMeter(recipe, one => LayerMethods.For(one, device, threads), Options with { Device = device });
        if (File is not null && System.IO.File.Exists(File))
        {
            var found = Sensitivity.Read(File);
            using var source = ModelSource.Open(model);
            if (meter.Fits(found, ProgressBars.Digest(output, source, cancel), data))
                return found;
            throw new InvalidInputException(
                $"{File}: was measured on another model, with other data or another recipe", "name another file, or delete it");
        }
        var measured = ProgressBars.Run(output, "measuring layers", report => meter.Run(model, data,
            new Relay<SensitivityProgress>(p => report(p.Done, p.Total, $"{p.Layer}, N = {p.Bases}: KL {p.Kl:0.00000}")), cancel));
        if (File is not null)
            measured.Write(File);
        return measured;
    }
}
