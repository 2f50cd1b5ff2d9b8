using Qbb.Registry.Pages.Shared;

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
    public static Markup? Of(string title, IReadOnlyList<(double Step, double Value)> points, int? best, string yName, string format, string xName = "optimizer step")
    {
        if (points.Count < 2)
            return null;
        var x = new Axis([.. points.Select(point => point.Step)], Frame.Left, Frame.Right, 0.04, isWhole: true);
        var y = new Axis([.. points.Select(point => point.Value)], Frame.Bottom, Frame.Top, 0.1, mayBeLogarithmic: true);
        var path = string.Join(' ', points.Select(point => $"{Numbers.Format(x.Place(point.Step), "0.#")},{Numbers.Format(y.Place(point.Value), "0.#")}"));
        var dots = points.Count > MostDots ? [] : points.Select(point => Markup.Of(
            $"""<circle class="dot" cx="{x.Place(point.Step):0.#}" cy="{y.Place(point.Value):0.#}" r="3"><title>step {point.Step:0}: {Numbers.Format(point.Value, format)}</title></circle>"""));
        return Frame.Draw(
            title, $"From {Numbers.Format(points[0].Value, format)} at {xName} {points[0].Step:0} to {Numbers.Format(points[^1].Value, format)} at {points[^1].Step:0}{(best is { } at ? $"; step {at} was kept" : "")}.",
            x, y, xName, yName, Markup.Of($"""<g aria-hidden="true"><polyline class="curve" points="{path}"/>{dots}{Kept(points, best, x, y, format)}</g>"""));
    }

    private static Markup Kept(IReadOnlyList<(double Step, double Value)> points, int? best, Axis x, Axis y, string format)
    {
        if (best is not { } step || points.Where(point => (int)point.Step == step).ToList() is not [var (at, value), ..])
            return Markup.Empty;
        var isRight = x.Place(at) > (Frame.Left + Frame.Right) / 2;
        return Markup.Of($"""<circle class="dot champion" cx="{x.Place(at):0.#}" cy="{y.Place(value):0.#}" r="7"/><text class="label" x="{x.Place(at) + (isRight ? -12 : 12):0.#}" y="{y.Place(value) - 10:0.#}" text-anchor="{(isRight ? "end" : "start")}">kept: {Numbers.Format(value, format)}</text>""");
    }
}
