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
/// <param name="Bits">The budget per quantized weight.</param>
/// <param name="Options">The range of N, and how much to measure on.</param>
/// <param name="File">Keeps what was measured; null for nowhere.</param>
/// <param name="Bases">The largest N that every layer could have within the budget.</param>
internal sealed record MixedPlan(double Bits, SensitivityOptions Options, string? File, int Bases)
{
    /// <summary>The recipe with N of every layer.</summary>
    /// <param name="recipe">Of the decomposition.</param>
    /// <param name="model">The model.</param>
    /// <param name="data">What to measure on.</param>
    /// <param name="device">Where.</param>
    /// <param name="threads">Threads of the CPU's methods.</param>
    /// <param name="output">Takes a bar, and what was chosen.</param>
    /// <param name="cache">A file of ours for the measurements where the plan names none; null for none.</param>
    /// <param name="cancel">Stops measuring.</param>
    public Recipe Choose(
        Recipe recipe, string model, ITokenSequences data, Device device, int threads, Output output, string? cache, CancellationToken cancel)
    {
        var sensitivity = Measure(recipe, model, data, device, threads, output, cache, cancel);
        var bases = sensitivity.Allocate(Bits);
        var counts = bases.GroupBy(layer => layer.Value).OrderBy(group => group.Key).Select(group => $"N = {group.Key} in {group.Count()} layers");
        output.Note(string.Create(CultureInfo.InvariantCulture,
            $"{sensitivity.BitsOf(bases):0.000} of {Bits:0.###} bits/weight: {string.Join(", ", counts)}; "
            + $"sum of the layers' KL {sensitivity.SumOfKl(bases):0.0000}"));
        return (recipe with { Bits = Bits, BasesPerLayer = bases }).Resolve();
    }

    private Sensitivity Measure(
        Recipe recipe, string model, ITokenSequences data, Device device, int threads, Output output, string? cache, CancellationToken cancel)
    {
        var meter = new SensitivityMeter(recipe, one => LayerMethods.For(one, device, threads), Options with { Device = device });
        var file = File ?? cache;
        if (file is not null && System.IO.File.Exists(file))
        {
            var found = Sensitivity.Read(file);
            using var source = ModelSource.Open(model);
            if (meter.Fits(found, ProgressBars.Digest(output, source, cancel), data))
                return found;
            if (File is not null)
                throw new InvalidInputException(
                    $"{File}: was measured on another model, with other data or another recipe", "name another file, or delete it");
        }
        var measured = ProgressBars.Run(output, "measuring layers", report => meter.Run(model, data,
            new Relay<SensitivityProgress>(p => report(p.Done, p.Total, $"{p.Layer}, N = {p.Bases}: KL {p.Kl:0.00000}")), cancel));
        if (file is not null)
            measured.Write(file);
        return measured;
    }
}
