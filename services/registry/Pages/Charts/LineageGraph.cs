using Qbb.Registry.Data;

namespace Qbb.Registry.Pages.Charts;

/// <summary>What was made from what: a box for each version, columns by how many steps lie before it.</summary>
internal static class LineageGraph
{
    private const int BoxWidth = 230;
    private const int BoxHeight = 56;
    private const int GapX = 170;
    private const int GapY = 18;
    private const int MostLetters = 26;

    /// <summary>A version in the graph.</summary>
    /// <param name="Key">Model and number.</param>
    /// <param name="Title">Its name.</param>
    /// <param name="Note">A second line.</param>
    /// <param name="Parent">Key of what it was made from; null of an upload, or where that is not shown.</param>
    /// <param name="Edge">What made it of its parent: the recipe's name.</param>
    /// <param name="Style">champion, current, or empty.</param>
    public sealed record Node(string Key, string Address, string Title, string Note, string? Parent, string Edge, string Style)
    {
        public static Node Of(VersionView version, string style = "")
        {
            var isChampion = version.Aliases.Contains(Alias.Champion);
            var perplexity = FigureKind.Text(version.Metrics, MetricNames.Perplexity);
            string?[] notes =
            [
                isChampion ? "champion" : null, version.Lineage is null ? "upload" : perplexity.Length > 0 ? $"ppl {perplexity}" : null, Numbers.Bytes(version.Bytes),
            ];
            return new(
                $"{version.Model}@{version.Version}", $"/models/{version.Model}/versions/{version.Version}",
                $"{version.Model} v{version.Version}", string.Join(", ", notes.OfType<string>()),
                version.Lineage is { } lineage ? $"{lineage.Parent.Model}@{lineage.Parent.Version}" : null,
                version.Lineage?.RecipeName ?? version.Lineage?.Recipe[..8] ?? "", isChampion ? "champion " + style : style);
        }
    }

    /// <param name="nodes">In the order in which they are to stand below each other.</param>
    public static Markup Of(IReadOnlyList<Node> nodes)
    {
        var byKey = nodes.ToDictionary(node => node.Key);
        var children = nodes.Where(node => node.Parent is { } parent && byKey.ContainsKey(parent)).ToLookup(node => node.Parent!);
        var places = new Dictionary<string, (int Column, double Row)>();
        var rows = 0.0;
        foreach (var root in nodes.Where(node => node.Parent is null || !byKey.ContainsKey(node.Parent)))
            rows = Arrange(root, 0, rows, children, places);
        var columns = places.Values.Max(place => place.Column) + 1;
        var (width, height) = (columns * BoxWidth + (columns - 1) * GapX + 4, (int)Math.Ceiling(rows * (BoxHeight + GapY)) - GapY + 4);
        var edges = nodes.Where(node => node.Parent is { } parent && places.ContainsKey(parent) && places.ContainsKey(node.Key))
            .Select(node => Edge(places[node.Parent!], places[node.Key], node.Edge));
        var boxes = nodes.Where(node => places.ContainsKey(node.Key)).Select(node => Box(node, places[node.Key], byKey));
        return Markup.Of($"""
            <div class="wide"><svg class="graph" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="group" aria-label="Lineage">
            {edges}{boxes}</svg></div>
            """);
    }

    /// <summary>Places a node in the middle of what was made from it; the first row that is free behind them.</summary>
    private static double Arrange(
        Node node, int column, double row, ILookup<string, Node> children, Dictionary<string, (int Column, double Row)> places)
    {
        if (!places.TryAdd(node.Key, (column, row)))
            return row;
        var next = row;
        foreach (var child in children[node.Key])
            next = Arrange(child, column + 1, next, children, places);
        if (next > row)
            places[node.Key] = (column, (row + next - 1) / 2);
        return Math.Max(next, row + 1);
    }

    private static (double X, double Y) Corner((int Column, double Row) place) => (2 + place.Column * (BoxWidth + GapX), 2 + place.Row * (BoxHeight + GapY));

    private static Markup Edge((int, double) from, (int, double) to, string label)
    {
        var ((x1, y1), (x2, y2)) = (Corner(from), Corner(to));
        (x1, y1, y2) = (x1 + BoxWidth, y1 + BoxHeight / 2, y2 + BoxHeight / 2);
        const int Bend = 60;
        var path = FormattableString.Invariant(
            $"M{x1:0.#} {y1:0.#}C{x1 + Bend:0.#} {y1:0.#} {x1 + Bend / 2:0.#} {y2:0.#} {x1 + Bend:0.#} {y2:0.#}H{x2 - 8:0.#}m-6 -5l7 5l-7 5");
        return Markup.Of($"""<g aria-hidden="true"><path class="edge" d="{path}"/>{Svg.Text("label", x2 - 14, y2 - 8, Short(label, 16), "end")}</g>""");
    }

    private static Markup Box(Node node, (int, double) place, Dictionary<string, Node> byKey)
    {
        var (x, y) = Corner(place);
        var from = node.Parent is { } parent && byKey.TryGetValue(parent, out var source) ? $", made from {source.Title}" : "";
        var by = from.Length > 0 && node.Edge.Length > 0 ? $" by {node.Edge}" : "";
        var current = node.Style.Contains("current", StringComparison.Ordinal) ? Markup.Of($" aria-current=\"true\"") : Markup.Empty;
        return Markup.Of($"""
            <a href="{node.Address}" aria-label="{node.Title}, {node.Note}{from}{by}"{current}><title>{node.Title}, {node.Note}</title>
            <rect class="box {node.Style}" x="{x:0.#}" y="{y:0.#}" width="{BoxWidth}" height="{BoxHeight}" rx="8"/>
            {Svg.Text("boxname", x + 12, y + 23, Short(node.Title, MostLetters))}{Svg.Text("boxnote", x + 12, y + 43, Short(node.Note, MostLetters + 4))}</a>
            """);
    }

    private static string Short(string text, int most) => text.Length <= most ? text : text[..(most - 1)] + "…";
}
