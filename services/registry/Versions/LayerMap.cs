using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Qbb.Registry.Pages.Shared;

namespace Qbb.Registry.Pages;

/// <summary>The relative error of every layer: blocks across, kinds of layers down; the stronger the colour, the larger.</summary>
internal static partial class LayerMap
{
    private const int Side = 26;
    private const int Left = 118;
    private const int MostBlocks = 200;
    private const int Shades = 6;

    /// <param name="layers">The layers of metrics.json.</param>
    public static Markup Of(JsonArray? layers)
    {
        var cells = (layers ?? []).OfType<JsonObject>().Select(Cell).OfType<(int Block, string Kind, double Error)>().ToList();
        if (cells.Count < 2 || cells.Max(cell => cell.Block) >= MostBlocks)
            return Markup.Empty;
        var kinds = cells.Select(cell => cell.Kind).Distinct().ToList();
        var blocks = cells.Max(cell => cell.Block) + 1;
        var (least, most) = (cells.Min(cell => cell.Error), cells.Max(cell => cell.Error));
        var boxes = cells.Select(cell =>
        {
            var shade = most > least ? (int)Math.Min(Shades - 1, (cell.Error - least) / (most - least) * Shades) : 0;
            var (x, y) = (Left + cell.Block * Side, kinds.IndexOf(cell.Kind) * Side);
            var title = Markup.Of($"<title>block {cell.Block}, {cell.Kind}: {Text(cell.Error)}</title>");
            return Markup.Of($"""<rect class="shade{shade}" x="{x}" y="{y}" width="{Side - 2}" height="{Side - 2}" rx="3">{title}</rect>""");
        });
        var rows = kinds.Select((kind, index) => Markup.Of(
            $"""<text class="tick" x="{Left - 8}" y="{index * Side + 17}" text-anchor="end">{kind}</text>"""));
        var every = blocks > 40 ? 10 : blocks > 16 ? 5 : 1;
        var columns = Enumerable.Range(0, blocks).Where(block => block % every == 0).Select(block => Markup.Of(
            $"""<text class="tick" x="{Left + block * Side + 12}" y="{kinds.Count * Side + 14}" text-anchor="middle">{block}</text>"""));
        var worst = cells.MaxBy(cell => cell.Error);
        var (width, height) = (Left + blocks * Side, kinds.Count * Side + 22);
        var said = $"from {Text(least)} to {Text(most)} (the strongest colour: {worst.Kind} of block {worst.Block})";
        return Pieces.Section("Error of the layers", Markup.Of($"""
            <figure><div class="wide">
            <svg class="chart map" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img"
            aria-label="Relative weight error of {cells.Count} layers, {said}">
            {rows}{columns}{boxes}
            </svg></div>
            <figcaption>‖W − Ŵ‖²/‖W‖² before distillation, {said}; blocks across.</figcaption></figure>
            """));
    }

    private static (int Block, string Kind, double Error)? Cell(JsonObject layer)
    {
        if (layer["layer"]?.ToString() is not { } name || Pattern().Match(name) is not { Success: true } match)
            return null;
        return Number(layer["squaredError"]) is { } error && Number(layer["squaredNorm"]) is > 0 and var norm
            && int.TryParse(match.Groups[1].ValueSpan, out var block)
            ? (block, match.Groups[2].Value.Replace("_proj", "", StringComparison.Ordinal), error / norm)
            : null;
    }

    private static string Text(double error) => Numbers.Format(error, "0.00000");

    private static double? Number(JsonNode? node) => node is JsonValue value && value.TryGetValue<double>(out var number) && double.IsFinite(number) ? number : null;

    [GeneratedRegex(@"\.(\d{1,4})\.(?:.*\.)?([A-Za-z0-9_]{1,24})\.weight\z", RegexOptions.CultureInvariant)]
    private static partial Regex Pattern();
}
