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
        var columns = x.Ticks.Select(tick => Markup.Of(
            $"""<line class="grid" x1="{x.Place(tick):0.#}" x2="{x.Place(tick):0.#}" y1="{Top}" y2="{Bottom}"/><text class="tick" x="{x.Place(tick):0.#}" y="{Bottom + 18}" text-anchor="middle">{x.Text(tick)}</text>"""));
        var rows = y.Ticks.Select(tick => Markup.Of(
            $"""<line class="grid" x1="{Left}" x2="{Right}" y1="{y.Place(tick):0.#}" y2="{y.Place(tick):0.#}"/><text class="tick" x="{Left - 8}" y="{y.Place(tick) + 4:0.#}" text-anchor="end">{y.Text(tick)}</text>"""));
        return Markup.Of($"""
            <svg class="chart" viewBox="0 0 {Width} {Height}" role="group" aria-label="{title}">
            <desc>{description}</desc>
            <g aria-hidden="true">{columns}{rows}
            <path class="axis" d="M{Left} {Top}V{Bottom}H{Right}"/>
            <text class="name" x="{(Left + Right) / 2}" y="{Height - 10}" text-anchor="middle">{xName}</text>
            <text class="name" transform="translate(14 {(Top + Bottom) / 2}) rotate(-90)" text-anchor="middle">{yName}</text></g>
            {content}
            </svg>
            """);
    }
}
