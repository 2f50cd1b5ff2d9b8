using System.Globalization;
using System.Net;
using System.Text;

namespace Qbb.Cli.Comparison;

/// <summary>A report as one HTML file with its figures and nothing from a network.</summary>
/// <param name="title">Its heading.</param>
internal sealed class ReportPage(string title)
{
    private const string SvgTag = "<svg";

    private const string Style = """
        :root { color-scheme: light dark; }
        body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 70rem; }
        h2 { margin-top: 2rem; }
        p { max-width: 48rem; }
        .scroll { overflow-x: auto; }
        table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
        th, td { padding: .3rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #8884; }
        th:first-child, td:first-child { text-align: left; }
        figure { margin: 1.5rem 0; background: #fff; color: #111; border-radius: .5rem; padding: .5rem .1rem; max-width: 42rem; }
        figure svg { display: block; width: 100%; min-width: 22rem; height: auto; }
        figcaption { padding: .25rem .5rem; }
        details { margin: -1rem 0 1.5rem; }
        summary { cursor: pointer; padding: .5rem 0; }

        """;

    private readonly StringBuilder _body = new();

    /// <summary>A figure whose numbers are in a table of the page.</summary>
    public void Add(string caption, string svg) => _body.Append(CultureInfo.InvariantCulture,
        $"<figure><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Figure\"><svg role=\"img\" aria-label=\"{Encode(caption)}; a table has the numbers\"{svg[SvgTag.Length..]}</div><figcaption>{Encode(caption)}</figcaption></figure>\n");

    /// <summary>A heading, and a table below it.</summary>
    public void Add(ReportTable table)
    {
        Heading(table.Title);
        Rows(table);
    }

    /// <summary>The numbers of the figure before, folded up.</summary>
    public void AddFolded(ReportTable table)
    {
        _body.Append(CultureInfo.InvariantCulture, $"<details><summary>Show the numbers</summary>\n");
        Rows(table);
        _body.Append("</details>\n");
    }

    /// <summary>A paragraph.</summary>
    public void Add(string text) => _body.Append(CultureInfo.InvariantCulture, $"<p>{Encode(text)}</p>\n");

    public void Heading(string text) => _body.Append(CultureInfo.InvariantCulture, $"<h2>{Encode(text)}</h2>\n");

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"""
        <!doctype html>
        <html lang="en">
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>{Encode(title)}</title>
        <style>
        {Style}</style>
        <main>
        <h1>{Encode(title)}</h1>
        {_body}</main>
        </html>

        """);

    private void Rows(ReportTable table)
    {
        _body.Append(CultureInfo.InvariantCulture, $"<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{Encode(table.Title)}\"><table>\n<tr>");
        foreach (var cell in table.Lines[0])
            _body.Append(CultureInfo.InvariantCulture, $"<th scope=\"col\">{Encode(cell)}</th>");
        foreach (var cells in table.Lines.Skip(1))
        {
            _body.Append("</tr>\n<tr>");
            foreach (var cell in cells)
                _body.Append(CultureInfo.InvariantCulture, $"<td>{Encode(cell)}</td>");
        }
        _body.Append("</tr>\n</table></div>\n");
    }

    private static string Encode(string text) => WebUtility.HtmlEncode(text);
}
