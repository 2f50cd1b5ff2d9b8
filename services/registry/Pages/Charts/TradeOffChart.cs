using Qbb.Registry.Data;

namespace Qbb.Registry.Pages.Charts;

/// <summary>Perplexity over bits per weight, a point for each version: what a smaller model costs.</summary>
internal static class TradeOffChart
{
    private const double LabelWidth = 8;
    private const double NearX = 90;
    private const double NearY = 16;

    /// <returns>Null where fewer than two versions have both figures: one point is not a picture.</returns>
    public static Markup? Of(IEnumerable<VersionView> versions)
    {
        var points = versions.Where(version => Has(version, MetricNames.BitsPerWeight) && Has(version, MetricNames.Perplexity))
            .Select(version => new Point(version, version.Metrics[MetricNames.BitsPerWeight], version.Metrics[MetricNames.Perplexity]))
            .OrderBy(point => point.Bits).ThenBy(point => point.Version.Version).ToList();
        if (points.Count < 2)
            return null;
        var teachers = points.Where(point => Has(point.Version, MetricNames.TeacherPerplexity))
            .Select(point => point.Version.Metrics[MetricNames.TeacherPerplexity]).ToList();
        var x = new Axis([.. points.Select(point => point.Bits)], Frame.Left, Frame.Right, 0.12);
        var y = new Axis([.. points.Select(point => point.Perplexity), .. teachers], Frame.Bottom, Frame.Top, 0.14, mayBeLogarithmic: true);
        var best = points.MinBy(point => point.Perplexity)!;
        return Frame.Draw(
            "Perplexity over bits per weight",
            FormattableString.Invariant($"{points.Count} versions from {points[0].Bits:0.00} to {points[^1].Bits:0.00} bits per weight; ")
            + FormattableString.Invariant($"the lowest perplexity is {best.Perplexity:0.00}, of version {best.Version.Version}. The table of versions has all figures."),
            x, y, "bits per weight", "perplexity",
            Markup.Of($"{Teacher(teachers, y)}{Frontier(points, x, y)}{points.Select(point => Dot(point, points, x, y))}"));
    }

    private static bool Has(VersionView version, string metric) => version.Metrics.ContainsKey(metric);

    private static Markup Teacher(List<double> perplexities, Axis y)
    {
        if (perplexities.Count == 0)
            return Markup.Empty;
        var place = y.Place(perplexities.Min());
        return Markup.Of(
            $"{Svg.Line("teacher", Frame.Left, place, Frame.Right, place)}{Svg.Text("label", Frame.Left + 6, place + 16, $"teacher {Text(perplexities.Min())}")}");
    }

    /// <summary>Joins the versions that no other beats in both figures.</summary>
    private static Markup Frontier(List<Point> points, Axis x, Axis y)
    {
        var best = double.PositiveInfinity;
        var path = new List<(double, double)>();
        foreach (var point in points.GroupBy(point => point.Bits).Select(same => same.MinBy(point => point.Perplexity)!))
        {
            if (point.Perplexity >= best)
                continue;
            best = point.Perplexity;
            path.Add((x.Place(point.Bits), y.Place(point.Perplexity)));
        }
        return Svg.Path("frontier", path);
    }

    private static Markup Dot(Point point, List<Point> all, Axis x, Axis y)
    {
        var version = point.Version;
        var isChampion = version.Aliases.Contains(Alias.Champion);
        var (left, top) = (x.Place(point.Bits), y.Place(point.Perplexity));
        var name = version.Lineage?.RecipeName is { } recipe ? $"v{version.Version} {recipe}" : $"v{version.Version}";
        var said = FormattableString.Invariant(
            $"version {version.Version}{(isChampion ? ", champion" : "")}: {Text(point.Perplexity)} at {point.Bits:0.00} bits per weight");
        // Below the one above it, where two stand so near that their labels would meet.
        var hasNear = all.Any(other => other != point && Math.Abs(x.Place(other.Bits) - left) < NearX
            && top - y.Place(other.Perplexity) is >= 0 and < NearY);
        var label = left + name.Length * LabelWidth + 14 > Frame.Right
            ? Svg.Text("label", left + 10, top - 12, name, "end")
            : Svg.Text("label", left + 12, top + (hasNear ? 16 : -4), name);
        return Markup.Of($"""
            <a href="/models/{version.Model}/versions/{version.Version}" aria-label="{said}">
            {(isChampion ? Svg.Dot("dot champion", left, top, 8, said) : Svg.Dot("dot", left, top, 6, said))}{label}</a>
            """);
    }

    private static string Text(double perplexity) => FigureKind.Of(MetricNames.Perplexity).Text(perplexity);

    private sealed record Point(VersionView Version, double Bits, double Perplexity);
}
