namespace Qbb.Registry.Pages.Charts;

/// <summary>The paper of a chart: axes with marks and names, and what is drawn between them. Places are pixels of the picture's own size.</summary>
internal sealed class Frame
{
    public const double Width = 480;
    public const double Height = 300;
    public const double Left = 64;
    public const double Right = Width - 16;
    public const double Top = 16;
    public const double Bottom = Height - 52;

    /// <param name="title">What the picture is called by readers.</param>
    /// <param name="description">What it says, for who cannot see it.</param>
    /// <param name="x">From <see cref="Left"/> to <see cref="Right"/>.</param>
    /// <param name="y">From <see cref="Bottom"/> to <see cref="Top"/>.</param>
    /// <param name="xName">What the x axis shows, with its unit.</param>
    /// <param name="yName">The same of the y axis.</param>
    /// <param name="content">Shapes.</param>
    public static Markup Draw(string title, string description, Axis x, Axis y, string xName, string yName, Markup content)
    {
        var columns = x.Ticks.Select(tick => (Place: x.Place(tick), Text: x.Text(tick))).Select(tick => Markup.Of(
            $"{Svg.Line("grid", tick.Place, Top, tick.Place, Bottom)}{Svg.Text("tick", tick.Place, Bottom + 18, tick.Text, "middle")}"));
        var rows = y.Ticks.Select(tick => (Place: y.Place(tick), Text: y.Text(tick))).Select(tick => Markup.Of(
            $"{Svg.Line("grid", Left, tick.Place, Right, tick.Place)}{Svg.Text("tick", Left - 8, tick.Place + 4, tick.Text, "end")}"));
        return Markup.Of($"""
            <svg class="chart" viewBox="0 0 {Width} {Height}" role="group" aria-label="{title}">
            <desc>{description}</desc>
            <g aria-hidden="true">{columns}{rows}
            <path class="axis" d="M{Left} {Top}V{Bottom}H{Right}"/>
            {Svg.Text("name", (Left + Right) / 2, Height - 10, xName, "middle")}
            <text class="name" transform="translate(14 {(Top + Bottom) / 2}) rotate(-90)" text-anchor="middle">{yName}</text></g>
            {content}
            </svg>
            """);
    }
}

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
