namespace Qbb.Registry.Pages.Charts;

/// <summary>Shapes of SVG, styled by class. Places are pixels of the picture's own size.</summary>
internal static class Svg
{
    public static Markup Text(string kind, double x, double y, string text, string anchor = "start") =>
        Markup.Of($"""<text class="{kind}" x="{x:0.#}" y="{y:0.#}" text-anchor="{anchor}">{text}</text>""");

    public static Markup Line(string kind, double x1, double y1, double x2, double y2) =>
        Markup.Of($"""<line class="{kind}" x1="{x1:0.#}" y1="{y1:0.#}" x2="{x2:0.#}" y2="{y2:0.#}"/>""");

    /// <param name="kind">Its classes.</param>
    /// <param name="x">Of its middle.</param>
    /// <param name="y">Of its middle.</param>
    /// <param name="radius">Pixels.</param>
    /// <param name="said">What hovering shows; empty for nothing.</param>
    public static Markup Dot(string kind, double x, double y, double radius, string said = "") => Markup.Of(
        $"""<circle class="{kind}" cx="{x:0.#}" cy="{y:0.#}" r="{radius:0.#}">{(said.Length > 0 ? Markup.Of($"<title>{said}</title>") : Markup.Empty)}</circle>""");

    /// <summary>A line through points.</summary>
    public static Markup Path(string kind, IEnumerable<(double X, double Y)> points) => Markup.Of(
        $"""<polyline class="{kind}" points="{string.Join(' ', points.Select(point => FormattableString.Invariant($"{point.X:0.#},{point.Y:0.#}")))}"/>""");
}
