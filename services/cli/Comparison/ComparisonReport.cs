using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Qbb.Quantizer.Driver;

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
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.KebabCaseLower) },
    };

    private const string LayersTitle = "Layers";
    private static readonly string s_layersNote = $"Layers of the first, middle and last block, from their weights alone. Errors are ‖W − Ŵ‖²/‖W‖² over {LayerStudy.MostRows} evenly spaced rows of each layer, or all rows if there are fewer. Other choices are the defaults.";

    private readonly List<ComparisonRow> _rows = [];

    public IReadOnlyList<ComparisonRow> Rows => _rows;

    /// <summary>Figures of single layers; those of an earlier call after <see cref="Finished"/>, null where there are none.</summary>
    public LayerFigures? Layers { get; private set; }

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
            {
                Layers = saved.Layers;
                return rows.Where(row => Path.Exists(row.Folder)).ToDictionary(row => row.Folder);
            }
        }
        catch (JsonException)
        {
        }
        return force ? new Dictionary<string, ComparisonRow>() : throw new InvalidInputException(
            $"{folder} holds a comparison of another model, text or data, or one by another version of qbb", "give another folder with -o, or --force to replace it");
    }

    /// <summary>Adds a row and writes the report.</summary>
    public void Add(ComparisonRow row)
    {
        _rows.Add(row);
        Write();
    }

    /// <summary>Sets the figures of layers and writes the report.</summary>
    public void Set(LayerFigures layers)
    {
        Layers = layers;
        Write();
    }

    private void Write()
    {
        Directory.CreateDirectory(folder);
        Write(FileName, JsonSerializer.Serialize(new Saved(identity, notes, _rows, Layers), s_json));
        Write("report.md", Markdown());
        Write("index.html", Html());
    }

    private string Markdown()
    {
        var text = new StringBuilder("# Comparison\n");
        foreach (var (index, table) in Tables().Index())
            text.Append(CultureInfo.InvariantCulture, $"{(index == 0 ? "" : $"\n## {table.Title}\n")}\n{table.Markdown()}");
        foreach (var note in notes)
            text.Append(CultureInfo.InvariantCulture, $"\n{note}\n");
        if (Layers is { Layers.Count: > 0 })
        {
            text.Append(CultureInfo.InvariantCulture, $"\n## {LayersTitle}\n\n{s_layersNote}\n");
            foreach (var (_, _, numbers) in Layers.All())
                text.Append(CultureInfo.InvariantCulture, $"\n### {numbers.Title}\n\n{numbers.Markdown()}");
        }
        return text.ToString();
    }

    private IEnumerable<ReportTable> Tables() => [ReportTable.Results(_rows), ReportTable.Work(_rows)];

    private string Html()
    {
        var page = new ReportPage("Comparison");
        foreach (var (title, svg) in ComparisonChart.All(_rows))
            page.Add(title, svg);
        foreach (var table in Tables())
            page.Add(table);
        foreach (var note in notes)
            page.Add(note);
        if (Layers is { Layers.Count: > 0 })
        {
            page.Heading(LayersTitle);
            page.Add(s_layersNote);
            foreach (var (caption, svg, numbers) in Layers.All())
            {
                page.Add(caption, svg);
                page.AddFolded(numbers);
            }
        }
        return page.ToString();
    }

    private void Write(string name, string text)
    {
        var path = Path.Combine(folder, name);
        File.WriteAllText(path + ".partial", text);
        File.Move(path + ".partial", path, overwrite: true);
    }

    private sealed record Saved(string Identity, IReadOnlyList<string> Notes, IReadOnlyList<ComparisonRow> Rows, LayerFigures? Layers);
}
