using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Qbb.Cli.Terminal;

namespace Qbb.Cli.Comparison;

/// <summary>
/// A comparison's folder: report.json after every cell, from which the same command resumes, and report.md and index.html, one file with
/// its figures and nothing from a network.
/// </summary>
/// <param name="folder">Created with the first row.</param>
/// <param name="identity">Digest of everything that rows have in common: model, texts, data.</param>
/// <param name="notes">What a reader should know of all rows, a sentence each.</param>
internal sealed class ComparisonReport(string folder, string identity, IReadOnlyList<string> notes)
{
    public const string FileName = "report.json";

    private static readonly JsonSerializerOptions s_json = new(JsonSerializerDefaults.Web)
    {
        WriteIndented = true,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    private readonly List<ComparisonRow> _rows = [];

    public IReadOnlyList<ComparisonRow> Rows => _rows;

    /// <summary>A row as JSON.</summary>
    public static System.Text.Json.Nodes.JsonNode ToJson(ComparisonRow row) => JsonSerializer.SerializeToNode(row, s_json)!;

    /// <summary>Rows that an earlier call finished, by the folder of their model; none of another comparison.</summary>
    /// <exception cref="InvalidInputException">The folder holds another comparison, and it must not be replaced.</exception>
    public IReadOnlyDictionary<string, ComparisonRow> Finished(bool force)
    {
        var path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
            return new Dictionary<string, ComparisonRow>();
        try
        {
            if (JsonSerializer.Deserialize<Saved>(File.ReadAllBytes(path), s_json) is { Rows: { } rows } saved && saved.Identity == identity)
                return rows.Where(row => Path.Exists(row.Folder)).ToDictionary(row => row.Folder);
        }
        catch (JsonException)
        {
        }
        return force ? new Dictionary<string, ComparisonRow>() : throw new InvalidInputException(
            $"{folder} holds a comparison of another model, text or data", "give another folder with -o, or --force to replace it");
    }

    /// <summary>Adds a row and writes the report.</summary>
    public void Add(ComparisonRow row)
    {
        _rows.Add(row);
        Directory.CreateDirectory(folder);
        Write(FileName, JsonSerializer.Serialize(new Saved(identity, notes, _rows), s_json));
        Write("report.md", Markdown());
        Write("index.html", Html());
    }

    private string Markdown()
    {
        var text = new StringBuilder("# Comparison\n\n");
        var table = Table();
        text.Append(CultureInfo.InvariantCulture, $"| {string.Join(" | ", table[0])} |\n|{string.Concat(table[0].Select((_, k) => k == 0 ? "---|" : "---:|"))}\n");
        foreach (var cells in table[1..])
            text.Append(CultureInfo.InvariantCulture, $"| {string.Join(" | ", cells.Select(cell => cell.Replace("|", "\\|", StringComparison.Ordinal)))} |\n");
        foreach (var note in notes)
            text.Append(CultureInfo.InvariantCulture, $"\n{note}\n");
        return text.ToString();
    }

    private string Html()
    {
        var page = new StringBuilder("""
            <!doctype html>
            <html lang="en">
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>Comparison</title>
            <style>
            :root { color-scheme: light dark; }
            body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 70rem; }
            .scroll { overflow-x: auto; }
            table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
            th, td { padding: .3rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #8884; }
            th:first-child, td:first-child { text-align: left; }
            figure { margin: 1.5rem 0; background: #fff; color: #111; border-radius: .5rem; padding: .5rem; }
            figure svg { width: 100%; height: auto; }
            </style>
            <main>
            <h1>Comparison</h1>

            """);
        foreach (var (title, svg) in ComparisonChart.All(_rows))
            page.Append(CultureInfo.InvariantCulture, $"<figure role=\"img\" aria-label=\"{Encode(title)}; the table has the numbers\">{svg}<figcaption>{Encode(title)}</figcaption></figure>\n");
        var table = Table();
        page.Append("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"All results\"><table>\n<tr>");
        foreach (var title in table[0])
            page.Append(CultureInfo.InvariantCulture, $"<th scope=\"col\">{Encode(title)}</th>");
        foreach (var cells in table[1..])
        {
            page.Append("</tr>\n<tr>");
            foreach (var cell in cells)
                page.Append(CultureInfo.InvariantCulture, $"<td>{Encode(cell)}</td>");
        }
        page.Append("</tr>\n</table></div>\n");
        foreach (var note in notes)
            page.Append(CultureInfo.InvariantCulture, $"<p>{Encode(note)}</p>\n");
        return page.Append("</main>\n</html>\n").ToString();
    }

    /// <summary>Title line and rows.</summary>
    private List<List<string>> Table()
    {
        List<List<string>> table = [["method", "bits/weight"]];
        foreach (var score in _rows[0].Scores)
            table[0].AddRange([$"perplexity, {score.Text}", $"KL, {score.Text}", $"top-1, {score.Text}"]);
        table[0].AddRange(["size", "seconds"]);
        foreach (var row in _rows)
        {
            List<string> cells = [row.Title, Number(row.BitsPerWeight, "0.000")];
            foreach (var score in row.Scores)
                cells.AddRange([Perplexity(score.Perplexity), score.Kl is { } kl ? Number(kl, "0.0000") : "", score.Top1 is { } top ? Number(100 * top, "0.0") + " %" : ""]);
            cells.AddRange([Units.Bytes(row.Bytes), row.Seconds == 0 ? "" : Number(row.Seconds, "0.0")]);
            table.Add(cells);
        }
        return table;
    }

    /// <summary>With the digits that matter.</summary>
    public static string Perplexity(double value) => value >= 1e6 ? Number(value, "0.0e0") : Number(value, value < 1000 ? "0.00" : "0");

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);

    private static string Encode(string text) => WebUtility.HtmlEncode(text);

    private void Write(string name, string text)
    {
        var path = Path.Combine(folder, name);
        File.WriteAllText(path + ".partial", text);
        File.Move(path + ".partial", path, overwrite: true);
    }

    private sealed record Saved(string Identity, IReadOnlyList<string> Notes, IReadOnlyList<ComparisonRow> Rows);
}
