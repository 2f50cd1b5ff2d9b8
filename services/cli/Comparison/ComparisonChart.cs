using System.Globalization;
using ScottPlot;
using ScottPlot.TickGenerators;

namespace Qbb.Cli.Comparison;

/// <summary>Quality over size as SVG: a line per method and group, its points by bits; shapes and dashes tell lines apart without colours.</summary>
internal static class ComparisonChart
{
    private const int Width = 860, Height = 440;

    private static readonly MarkerShape[] s_shapes =
    [
        MarkerShape.FilledCircle, MarkerShape.OpenSquare, MarkerShape.FilledTriangleUp, MarkerShape.OpenDiamond, MarkerShape.FilledSquare, MarkerShape.OpenCircle, MarkerShape.Cross,
    ];

    private static readonly LinePattern[] s_lines = [LinePattern.Solid, LinePattern.Dashed, LinePattern.Dotted];

    // Okabe and Ito's colours, which people with colour blindness can tell apart.
    private static readonly string[] s_colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];

    /// <summary>Of every text a figure of perplexity and one of divergence; none while there is no row beside the teacher's.</summary>
    public static IEnumerable<(string Title, string Svg)> All(IReadOnlyList<ComparisonRow> rows)
    {
        var quantized = rows.Where(row => row.Method != ComparisonRow.Teacher).ToList();
        if (quantized.Count == 0)
            yield break;
        for (var text = 0; text < rows[0].Scores.Count; text++)
        {
            var name = rows[0].Scores[text].Text;
            yield return ($"Perplexity over bits per weight, {name}", Draw("perplexity", quantized, row => row.Scores[text].Perplexity, rows.FirstOrDefault(row => row.Method == ComparisonRow.Teacher)?.Scores[text].Perplexity));
            yield return ($"KL divergence over bits per weight, {name}", Draw("KL (nats per token)", quantized, row => row.Scores[text].Kl ?? double.NaN, null));
        }
    }

    private static string Draw(string title, List<ComparisonRow> rows, Func<ComparisonRow, double> value, double? teacher)
    {
        using var plot = new Plot();
        var lines = rows.GroupBy(row => (row.Method, row.Group)).ToList();
        var manyGroups = lines.Where(HasGroups).Select(line => line.Key.Group).Distinct().Count() > 1;
        foreach (var (k, line) in lines.Index())
        {
            var points = line.Where(row => double.IsFinite(value(row)) && value(row) > 0).OrderBy(row => row.BitsPerWeight).ToList();
            if (points.Count == 0)
                continue;
            var drawn = plot.Add.Scatter(points.ConvertAll(row => row.BitsPerWeight), points.ConvertAll(row => Math.Log10(value(row))));
            var group = line.Key.Group is { } size ? $"g = {size}" : "a scale per row";
            drawn.LegendText = manyGroups && HasGroups(line) ? $"{line.Key.Method}, {group}" : line.Key.Method;
            (drawn.MarkerShape, drawn.MarkerSize, drawn.LineWidth) = (s_shapes[k % s_shapes.Length], 9, 2);
            (drawn.LinePattern, drawn.Color) = (s_lines[k / s_colours.Length % s_lines.Length], Color.FromHex(s_colours[k % s_colours.Length]));
        }
        if (teacher is { } level && double.IsFinite(level))
        {
            var line = plot.Add.HorizontalLine(Math.Log10(level), 1, Color.FromHex("#555555"), LinePattern.Dotted);
            line.LegendText = "teacher";
        }
        plot.Axes.Left.TickGenerator = new NumericAutomatic { LabelFormatter = power => Math.Pow(10, power).ToString("G3", CultureInfo.InvariantCulture) };
        plot.XLabel("bits per weight");
        plot.YLabel(title);
        plot.ShowLegend(Alignment.UpperRight);
        var svg = plot.GetSvgXml(Width, Height);
        // For a place in a page: without the declaration, and scaled by its box.
        return svg[svg.IndexOf("<svg", StringComparison.Ordinal)..].Replace($"width=\"{Width}\" height=\"{Height}\">", $"viewBox=\"0 0 {Width} {Height}\">", StringComparison.Ordinal);
    }

    private static bool HasGroups(IGrouping<(string Method, int? Group), ComparisonRow> line) => line.First().Bases is not null && !ComparedMethod.Of(line.Key.Method).IsLattice;
}
