
namespace Qbb.Registry.Pages.Charts;

/// <summary>One figure step by step, with its best point marked.</summary>
internal static class CurveChart
{
    private const int MostDots = 40;

    /// <param name="title">What is shown.</param>
    /// <param name="points">Steps rising.</param>
    /// <param name="best">The step that was kept; null for none.</param>
    /// <param name="yName">What the figure is, with its unit.</param>
    /// <param name="format">Of its values.</param>
    /// <param name="xName">What a step is.</param>
    /// <returns>Null where there are fewer than two points.</returns>
    public static Markup? Of(
        string title, IReadOnlyList<(double Step, double Value)> points, int? best, string yName, string format, string xName = "optimizer step")
    {
        if (points.Count < 2)
            return null;
        var x = new Axis([.. points.Select(point => point.Step)], Frame.Left, Frame.Right, 0.04, isWhole: true);
        var y = new Axis([.. points.Select(point => point.Value)], Frame.Bottom, Frame.Top, 0.1, mayBeLogarithmic: true);
        var path = Svg.Path("curve", points.Select(point => (x.Place(point.Step), y.Place(point.Value))));
        var dots = points.Count > MostDots ? [] : points.Select(point => Svg.Dot(
            "dot", x.Place(point.Step), y.Place(point.Value), 3, $"{xName} {point.Step}: {Numbers.Format(point.Value, format)}"));
        var (first, last) = (points[0], points[^1]);
        var kept = best is { } at ? $"; step {at} was kept" : "";
        return Frame.Draw(
            title,
            $"From {Numbers.Format(first.Value, format)} at {xName} {first.Step} to {Numbers.Format(last.Value, format)} at {last.Step}{kept}.",
            x, y, xName, yName, Markup.Of($"""<g aria-hidden="true">{path}{dots}{Kept(points, best, x, y, format)}</g>"""));
    }

    private static Markup Kept(IReadOnlyList<(double Step, double Value)> points, int? best, Axis x, Axis y, string format)
    {
        if (best is not { } step || points.Where(point => (int)point.Step == step).ToList() is not [var (at, value), ..])
            return Markup.Empty;
        var (left, top) = (x.Place(at), y.Place(value));
        var label = $"kept: {Numbers.Format(value, format)}";
        return Markup.Of($"""
            {Svg.Dot("dot champion", left, top, 7)}
            {(left > (Frame.Left + Frame.Right) / 2 ? Svg.Text("label", left - 12, top - 10, label, "end") : Svg.Text("label", left + 12, top - 10, label))}
            """);
    }
}
