using System.Globalization;
using System.Text.RegularExpressions;
using ScottPlot;
using ScottPlot.TickGenerators;

namespace Qbb.Cli.Comparison;

/// <summary>A figure of a report as SVG: lines over numbers or over names; shapes tell them apart without colours. Its legend stands below, where it hides nothing.</summary>
internal sealed partial class ReportPlot : IDisposable
{
    // Small, with large letters: on a phone it is shown at two thirds of its size.
    private const int Width = 600, BaseHeight = 380, NameHeight = 110, LegendLineHeight = 24;

    /// <summary>Numbers of a decade on a logarithmic axis; fewer on a long one, more on a short one.</summary>
    private static readonly double[] s_steps = [1, 2, 5], s_fewSteps = [1], s_manySteps = [1, 2, 3, 5, 7];

    private static readonly MarkerShape[] s_shapes =
    [
        MarkerShape.FilledCircle, MarkerShape.OpenSquare, MarkerShape.FilledTriangleUp, MarkerShape.OpenDiamond, MarkerShape.FilledSquare, MarkerShape.OpenCircle, MarkerShape.Cross,
    ];

    // Okabe and Ito's colours, which people with colour blindness can tell apart.
    private static readonly string[] s_colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];

    private readonly Plot _plot = new();
    private readonly bool _isLogarithmic;
    private int _lines;
    private int _height = BaseHeight;
    private (double Least, double Most) _range = (double.PositiveInfinity, double.NegativeInfinity);

    /// <param name="x">What lies along the bottom.</param>
    /// <param name="y">What lies along the side.</param>
    /// <param name="isLogarithmic">Whether heights are logarithms.</param>
    public ReportPlot(string x, string y, bool isLogarithmic)
    {
        _isLogarithmic = isLogarithmic;
        _plot.Font.Set(Fonts.Sans);
        _plot.XLabel(x);
        _plot.YLabel(y);
        foreach (var axis in new IAxis[] { _plot.Axes.Bottom, _plot.Axes.Left })
        {
            axis.Label.FontSize = 17;
            axis.Label.Bold = false;
            axis.TickLabelStyle.FontSize = 16;
        }
    }

    /// <summary>Names in place of the numbers 0, 1, 2, … at the bottom.</summary>
    public void NameColumns(IReadOnlyList<string> names)
    {
        _plot.Axes.Bottom.TickGenerator = new NumericManual([.. names.Select((_, k) => (double)k)], [.. names]);
        var style = _plot.Axes.Bottom.TickLabelStyle;
        (style.Rotation, style.Alignment) = (-90, Alignment.MiddleRight);
        // Room for the names above the axis' own.
        _plot.Axes.Bottom.MinimumSize = NameHeight;
        _height += NameHeight / 2;
    }

    /// <summary>A line with a mark at every point; of points that cannot be drawn none.</summary>
    public void Line(string name, IEnumerable<(double X, double Y)> points)
    {
        var drawn = points.Where(point => double.IsFinite(point.Y) && (point.Y > 0 || !_isLogarithmic)).ToList();
        var k = _lines++;
        if (drawn.Count == 0)
            return;
        drawn.ForEach(point => Widen(point.Y));
        var line = _plot.Add.Scatter(drawn.ConvertAll(point => point.X), drawn.ConvertAll(point => Height(point.Y)));
        // Where colours begin again, each has another shape: dashes are more than Skia writes as SVG.
        (line.LegendText, line.MarkerShape, line.MarkerSize, line.LineWidth) = (name, s_shapes[(k + k / s_colours.Length) % s_shapes.Length], 9, 2);
        line.Color = Color.FromHex(s_colours[k % s_colours.Length]);
    }

    /// <summary>A level to compare with.</summary>
    public void Level(string name, double y)
    {
        if (!double.IsFinite(y))
            return;
        Widen(y);
        _plot.Add.HorizontalLine(Height(y), 1, Color.FromHex("#555555"), LinePattern.Dotted).LegendText = name;
    }

    /// <summary>For a place in a page: without the declaration, and scaled by its box.</summary>
    public string ToSvg()
    {
        if (_isLogarithmic && double.IsFinite(_range.Least))
            _plot.Axes.Left.TickGenerator = LogarithmicTicks();
        _plot.ShowLegend(Edge.Bottom);
        (_plot.Legend.Orientation, _plot.Legend.FontSize, _plot.Legend.TightHorizontalWrapping) = (Orientation.Horizontal, 16, true);
        (_plot.Legend.OutlineWidth, _plot.Legend.ShadowColor) = (0, Colors.Transparent);
        // Three names a line; the lines beyond the first do not come off the figure.
        _height += LegendLineHeight * ((_lines - 1) / 3);
        var svg = _plot.GetSvgXml(Width, _height);
        // The page's font: the one that was measured with may not be where the page is read.
        return Font.Replace(svg[svg.IndexOf("<svg", StringComparison.Ordinal)..], "font-family=\"system-ui, sans-serif\"").Replace($"width=\"{Width}\" height=\"{_height}\">", $"viewBox=\"0 0 {Width} {_height}\">", StringComparison.Ordinal);
    }

    public void Dispose() => _plot.Dispose();

    [GeneratedRegex("font-family=\"[^\"]*\"")]
    private static partial Regex Font { get; }

    private void Widen(double y) => _range = (Math.Min(_range.Least, y), Math.Max(_range.Most, y));

    private NumericManual LogarithmicTicks()
    {
        var (first, last) = ((int)Math.Floor(Math.Log10(_range.Least)), (int)Math.Ceiling(Math.Log10(_range.Most)));
        var steps = last - first > 4 ? s_fewSteps : _range.Most < 10 * _range.Least ? s_manySteps : s_steps;
        var ticks = new NumericManual();
        for (var decade = first; decade <= last; decade++)
        {
            foreach (var step in steps)
                ticks.AddMajor(decade + Math.Log10(step), (step * Math.Pow(10, decade)).ToString("G3", CultureInfo.InvariantCulture));
        }
        return ticks;
    }

    private double Height(double y) => _isLogarithmic ? Math.Log10(y) : y;
}
