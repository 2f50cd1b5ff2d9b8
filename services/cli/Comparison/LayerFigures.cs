using System.Globalization;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Driver;
using Qbb.Recipes;

namespace Qbb.Cli.Comparison;

/// <summary>Figures of single layers in a comparison.</summary>
/// <param name="Bases">N of all figures but that over N.</param>
/// <param name="Group">Inputs that share a scale; null for those of a row.</param>
/// <param name="Layers">The finished ones, in the model's order.</param>
internal sealed record LayerFigures(int Bases, int? Group, IReadOnlyList<LayerStudy> Layers)
{
    private string Setting => Group is { } group ? string.Create(CultureInfo.InvariantCulture, $"g = {group}") : "a scale per row";

    /// <summary>Every figure with its caption and its numbers.</summary>
    public IEnumerable<(string Caption, string Svg, ReportTable Numbers)> All()
    {
        yield return Figure(
            $"Relative weight error by init, N = {Bases}, {Setting}: before and after gradient refinement, one basis after the other", "relative error", isShare: false,
            [.. Layers[0].Inits.SelectMany((init, k) => new (string, Func<LayerStudy, double>)[]
            {
                ($"{init.Init.ToName()}, before", layer => layer.Inits[k].Before),
                ($"{init.Init.ToName()}, after", layer => layer.Inits[k].After),
            })]);
        yield return Figure(
            $"Relative weight error by number of bases, {Setting}: alternating refinement from two starts, the default", "relative error", isShare: false,
            [.. Layers[0].ErrorOfBases.Select((_, k) => ($"N = {k + 1}", (Func<LayerStudy, double>)(layer => layer.ErrorOfBases[k])))]);
        yield return Figure(
            $"Relative weight error by refinement, N = {Bases}, {Setting}: the cascaded init, gradient refinement of all bases at once (simultaneous) and one after the other (iterative), and the default (alternating)", "relative error", isShare: false,
            ("cascaded init", layer => layer.Inits[^1].Before), ("simultaneous", layer => layer.Simultaneous), ("iterative", layer => layer.Iterative), ("alternating", layer => layer.Alternating));
        yield return Figure(
            $"Flipped signs per basis, N = {Bases}, {Setting}: from the cascaded init to the result of iterative gradient refinement", "flipped signs, %", isShare: true,
            [.. Enumerable.Range(0, Bases).Select(k => ($"basis {k + 1}", (Func<LayerStudy, double>)(layer => layer.FlippedSigns[k])))]);
    }

    /// <summary>A layer in a word or two.</summary>
    private static string NameOf(LayerStudy layer) => string.Create(CultureInfo.InvariantCulture, $"{layer.Block} {layer.Role switch
    {
        LinearRole.Query => "q",
        LinearRole.Key => "k",
        LinearRole.Value => "v",
        LinearRole.QueryKeyValue => "qkv",
        LinearRole.AttentionOutput => "o",
        LinearRole.GateUp => "gate-up",
        var role => role.ToString().ToLowerInvariant(),
    }}");

    private (string Caption, string Svg, ReportTable Numbers) Figure(string caption, string y, bool isShare, params (string Name, Func<LayerStudy, double> Value)[] lines)
    {
        using var plot = new ReportPlot("block and layer", y, isLogarithmic: !isShare);
        plot.NameColumns([.. Layers.Select(NameOf)]);
        foreach (var (name, value) in lines)
            plot.Line(name, Layers.Select((layer, k) => ((double)k, (isShare ? 100 : 1) * value(layer))));
        return (caption, plot.ToSvg(), new(caption,
        [
            ["layer", .. lines.Select(line => line.Name)],
            .. Layers.Select(layer => (IReadOnlyList<string>)[NameOf(layer), .. lines.Select(line => isShare ? ReportTable.Number(100 * line.Value(layer), "0.00") + " %" : line.Value(layer).ToString("G4", CultureInfo.InvariantCulture))]),
        ]));
    }
}
