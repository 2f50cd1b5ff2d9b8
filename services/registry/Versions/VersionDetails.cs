using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Qbb.Registry.Pages;
using Qbb.Registry.Pages.Charts;
using static Qbb.Registry.Pages.Pieces;

namespace Qbb.Registry.Versions;

/// <summary>How the distillation went, as the version's metrics.json tells.</summary>
internal static class DistillationView
{
    /// <param name="distillation">start, end, bestStep and curve; null where nothing was distilled.</param>
    public static Markup Of(JsonObject? distillation)
    {
        if (Score(distillation?["start"]) is not { } start || Score(distillation?["end"]) is not { } end)
            return Markup.Empty;
        var curve = (distillation!["curve"] as JsonArray ?? []).OfType<JsonObject>()
            .Select(point => (Step: Number(point["step"]), Score: Score(point["heldOut"])))
            .Where(point => point is { Step: not null, Score: not null })
            .Select(point => (Step: point.Step!.Value, Score: point.Score!.Value)).ToList();
        var best = Number(distillation["bestStep"]) is { } step ? (int?)step : null;
        var charts = new[]
        {
            CurveChart.Of(
                "KL divergence over steps", [.. curve.Select(point => (point.Step, point.Score.Kl))], best, "KL (nats)", "0.0000"),
            CurveChart.Of(
                "Perplexity over steps", [.. curve.Select(point => (point.Step, Math.Exp(point.Score.CrossEntropy)))], best, "perplexity", "0.00"),
        }.OfType<Markup>();
        return Section("Distillation", Markup.Of($"""
            {Tiles(
            [
                ("Perplexity", Text($"{Perplexity(start)} → {Perplexity(end)}"), Text("before and after, on sequences held out of the training")),
                ("KL divergence", Text($"{Numbers.Format(start.Kl, "0.0000")} → {Numbers.Format(end.Kl, "0.0000")}"), Text("nats per position, on the same sequences")),
            ])}
            <div class="figures">{charts.Select(chart => Markup.Of($"<figure>{chart}</figure>"))}</div>
            """));
    }

    private static string Perplexity((double Kl, double CrossEntropy) score) => Numbers.Format(Math.Exp(score.CrossEntropy), "0.00");

    private static (double Kl, double CrossEntropy)? Score(JsonNode? node) =>
        node is JsonObject score && Number(score["kl"]) is { } kl && Number(score["crossEntropy"]) is { } entropy ? (kl, entropy) : null;

    internal static double? Number(JsonNode? node) => node is JsonValue value && value.TryGetValue<double>(out var number) && double.IsFinite(number) ? number : null;
}

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
            var title = Markup.Of($"<title>block {cell.Block}, {cell.Kind}: {Shown(cell.Error)}</title>");
            return Markup.Of($"""<rect class="shade{shade}" x="{x}" y="{y}" width="{Side - 2}" height="{Side - 2}" rx="3">{title}</rect>""");
        });
        var rows = kinds.Select((kind, index) => Markup.Of(
            $"""<text class="tick" x="{Left - 8}" y="{index * Side + 17}" text-anchor="end">{kind}</text>"""));
        var every = blocks > 40 ? 10 : blocks > 16 ? 5 : 1;
        var columns = Enumerable.Range(0, blocks).Where(block => block % every == 0).Select(block => Markup.Of(
            $"""<text class="tick" x="{Left + block * Side + 12}" y="{kinds.Count * Side + 14}" text-anchor="middle">{block}</text>"""));
        var worst = cells.MaxBy(cell => cell.Error);
        var (width, height) = (Left + blocks * Side, kinds.Count * Side + 22);
        var said = $"from {Shown(least)} to {Shown(most)} (the strongest colour: {worst.Kind} of block {worst.Block})";
        return Section("Error of the layers", Markup.Of($"""
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
        return DistillationView.Number(layer["squaredError"]) is { } error && DistillationView.Number(layer["squaredNorm"]) is > 0 and var norm
            && int.TryParse(match.Groups[1].ValueSpan, out var block)
            ? (block, match.Groups[2].Value.Replace("_proj", "", StringComparison.Ordinal), error / norm)
            : null;
    }

    private static string Shown(double error) => Numbers.Format(error, "0.00000");

    [GeneratedRegex(@"\.(\d{1,4})\.(?:.*\.)?([A-Za-z0-9_]{1,24})\.weight\z", RegexOptions.CultureInvariant)]
    private static partial Regex Pattern();
}
