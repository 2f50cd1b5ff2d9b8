using Qbb.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Recipes;

namespace Qbb.Quantizer.Driver;

/// <summary>
/// How the choices of a decomposition change the error of one layer, from its weights alone, as in the figures of the QBB paper. Errors are ‖W − Ŵ‖²/‖W‖² over some rows, which
/// are independent of one another.
/// </summary>
/// <param name="Block">The layer's.</param>
/// <param name="Role">What the layer does in it.</param>
/// <param name="Layer">Name of the weight.</param>
/// <param name="Rows">How many were looked at.</param>
/// <param name="Inits">Every init, refined by gradient, one basis after the other.</param>
/// <param name="Simultaneous">The error where gradient refines all bases at once, from the cascaded init.</param>
/// <param name="Alternating">The error of the default, alternating refinement from two starts.</param>
/// <param name="FlippedSigns">Per basis, the share of signs that gradient refinement flipped, from the cascaded init.</param>
/// <param name="ErrorOfBases">The error of the default with 1, 2, … bases.</param>
public sealed record LayerStudy(
    int Block, LinearRole Role, string Layer, int Rows, IReadOnlyList<StudiedInit> Inits, double Simultaneous, double Alternating, IReadOnlyList<double> FlippedSigns, IReadOnlyList<double> ErrorOfBases)
{
    /// <summary>Rows of a layer, spread evenly over it: enough for two digits of an error, and a layer of any size takes seconds.</summary>
    public const int MostRows = 256;

    /// <summary>The most bases of <see cref="ErrorOfBases"/>.</summary>
    public const int MostBases = 5;

    /// <summary>The error after refinement by gradient from the cascaded init.</summary>
    public double Iterative => Inits[^1].After;

    /// <summary>The layers of the first, the middle and the last block.</summary>
    public static IReadOnlyList<LinearSpec> LayersOf(DecoderLayout layout) =>
        [.. new[] { 0, layout.Blocks.Count / 2, layout.Blocks.Count - 1 }.Distinct().SelectMany(block => layout.Blocks[block].Linears)];

    /// <summary>Decomposes a layer in every way.</summary>
    /// <param name="tensors">The model's.</param>
    /// <param name="spec">The layer.</param>
    /// <param name="bases">N of all but <see cref="ErrorOfBases"/>.</param>
    /// <param name="group">Inputs that share a scale; null for the row.</param>
    /// <param name="threads">Of the CPU; the result does not depend on them.</param>
    /// <param name="cancellation">Ends between two rows.</param>
    /// <exception cref="InvalidInputException">The weight cannot be read or expressed; the message names it.</exception>
    public static LayerStudy Of(ITensorSource tensors, LinearSpec spec, int bases, int? group, int threads = 0, CancellationToken cancellation = default)
    {
        var values = new float[spec.WeightCount];
        WeightLoader.ReadWeight(tensors, spec, values);
        return Of(spec, values, bases, group, threads, cancellation);
    }

    internal static LayerStudy Of(LinearSpec spec, float[] values, int bases, int? group, int threads = 0, CancellationToken cancellation = default)
    {
        List<int> rows = [.. EvenSpread.Of(Math.Min(MostRows, spec.OutFeatures), spec.OutFeatures)];
        var weights = new LayerWeights(spec.Weight, rows.Count, spec.InFeatures, rows.SelectMany(row => values.AsSpan(row * spec.InFeatures, spec.InFeatures).ToArray()).ToArray());
        var recipe = new Recipe { Bases = bases, Group = group };
        var inits = new[] { Init.Random, Init.NonCascaded, Init.Cascaded }.Select(init => (Init: init, Report: Report(recipe with { Init = init, Refinement = Refinement.Gradient }))).ToList();
        double[] errors = [.. Enumerable.Range(1, MostBases).Select(count => Report(recipe with { Bases = count }).RelativeError)];
        return new(
            spec.Block, spec.Role, spec.Weight, rows.Count, [.. inits.Select(one => new StudiedInit(one.Init, one.Report.InitErrorPerBase[^1], one.Report.RelativeError))],
            Report(recipe with { Refinement = Refinement.Simultaneous }).RelativeError, bases <= MostBases ? errors[bases - 1] : Report(recipe).RelativeError, inits[^1].Report.FlippedSigns, errors);

        LayerReport Report(Recipe choices) => new BasesMethod(choices, threads).QuantizeInRange(weights, cancellation).Report;
    }
}

/// <summary>The result of an init.</summary>
/// <param name="Init">Which.</param>
/// <param name="Before">The error before refinement, its scales by least squares but for the cascaded.</param>
/// <param name="After">The error after it.</param>
public sealed record StudiedInit(Init Init, double Before, double After);
