namespace Qbb.Registry.Pages;

/// <summary>
/// Tables that scroll where they are wide and turn into one block a row where the screen is narrow. Roles are spelt out, since a table that
/// is laid out as blocks is not announced as a table by some screen readers otherwise.
/// </summary>
internal static class DataTable
{
    /// <param name="caption">Says what it shows; readers hear it, and see it where <paramref name="isCaptionShown"/>.</param>
    /// <param name="columns">The first holds what a row is called by.</param>
    /// <param name="rows">Cells in the order of the columns.</param>
    /// <param name="sort">The order, where heads are links.</param>
    /// <param name="isCaptionShown">False below a heading that says the same.</param>
    public static Markup Of(
        string caption, IReadOnlyList<Column> columns, IEnumerable<Markup[]> rows, SortOrder? sort = null, bool isCaptionShown = false)
    {
        var heads = Markup.Join(columns.Select(column => Head(column, sort)));
        var body = Markup.Join(rows.Select(cells => Markup.Of(
            $"""<tr role="row">{Markup.Join(cells.Select((cell, index) => Cell(columns[index], cell, index == 0)))}</tr>""")));
        return Markup.Of($"""
            <div class="wide"><table role="table" class="data">
            <caption class="{(isCaptionShown ? "" : "unseen")}">{caption}</caption>
            <thead role="rowgroup"><tr role="row">{heads}</tr></thead>
            <tbody role="rowgroup">{body}</tbody>
            </table></div>
            """);
    }

    private static Markup Head(Column column, SortOrder? sort)
    {
        var kind = column.IsNumber ? "number" : "";
        if (column.Key is not { } key || sort is null)
            return Markup.Of($"""<th role="columnheader" scope="col" class="{kind}">{column.Title}</th>""");
        var order = sort.AriaOf(key) is { } aria ? Markup.Of($" aria-sort=\"{aria}\"") : Markup.Empty;
        var arrow = sort.AriaOf(key) switch { "ascending" => "▲", "descending" => "▼", _ => "" };
        return Markup.Of($"""
            <th role="columnheader" scope="col" class="{kind} sortable"{order}><a href="{sort.AddressOf(key)}">{column.Title}</a><span
            class="arrow" aria-hidden="true">{arrow}</span></th>
            """);
    }

    private static Markup Cell(Column column, Markup cell, bool isName)
    {
        var kind = (column.IsNumber ? "number" : "") + (cell.Text.Length == 0 ? " none" : "");
        return isName
            ? Markup.Of($"""<th role="rowheader" scope="row" class="{kind}">{cell}</th>""")
            : Markup.Of($"""<td role="cell" class="{kind}" data-label="{column.Title}"><div>{cell}</div></td>""");
    }
}

/// <summary>A column of a table.</summary>
/// <param name="Title">Its head; also before each value where the screen is too narrow for columns.</param>
/// <param name="IsNumber">Values stand at the right.</param>
/// <param name="Key">What the page is sorted by on a click; null where it is not.</param>
internal sealed record Column(string Title, bool IsNumber = false, string? Key = null);

/// <summary>What a table is sorted by.</summary>
/// <param name="Key">The column's.</param>
/// <param name="IsFalling">The largest first.</param>
/// <param name="Address">The address of the page for an order, such as -kl.</param>
internal sealed record SortOrder(string Key, bool IsFalling, Func<string, string> Address)
{
    /// <param name="text">kl, or -kl for the largest first; null for the usual.</param>
    /// <param name="usual">The order where none is requested.</param>
    /// <param name="address">As above.</param>
    public static SortOrder Parse(string? text, string usual, Func<string, string> address)
    {
        var asked = string.IsNullOrEmpty(text) ? usual : text;
        return new(asked.TrimStart('-'), asked.StartsWith('-'), address);
    }

    /// <summary>The link of a head: the other way round where the table is sorted by it.</summary>
    public string AddressOf(string key) => Address(key == Key && !IsFalling ? "-" + key : key);

    public string? AriaOf(string key) => key != Key ? null : IsFalling ? "descending" : "ascending";
}
