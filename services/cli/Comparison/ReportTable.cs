using System.Globalization;
using System.Text;
using Qbb.Cli.Terminal;

namespace Qbb.Cli.Comparison;

/// <summary>A table of a report.</summary>
/// <param name="Title">What it holds.</param>
/// <param name="Lines">The titles of its columns, then its rows, whose first cell names them.</param>
internal sealed record ReportTable(string Title, IReadOnlyList<IReadOnlyList<string>> Lines)
{
    /// <summary>Sizes, scores and time of all rows.</summary>
    public static ReportTable Results(IReadOnlyList<ComparisonRow> rows)
    {
        List<string> titles = ["method", "bits/weight"];
        foreach (var score in rows[0].Scores)
            titles.AddRange([$"perplexity, {score.Text}", $"KL, {score.Text}", $"top-1, {score.Text}"]);
        titles.AddRange(["size", "seconds"]);
        return new("Results", [titles, .. rows.Select(Line)]);

        static List<string> Line(ComparisonRow row)
        {
            List<string> cells = [row.Title, Number(row.BitsPerWeight, "0.000")];
            foreach (var score in row.Scores)
                cells.AddRange([Perplexity(score.Perplexity), score.Kl is { } kl ? Number(kl, "0.0000") : "", score.Top1 is { } top ? Number(100 * top, "0.0") + " %" : ""]);
            cells.AddRange([Units.Bytes(row.Bytes), row.Seconds == 0 ? "" : Number(row.Seconds, "0.0")]);
            return cells;
        }
    }

    /// <summary>Arithmetic, bytes and memory of a token that is decoded, and what was measured of its speed.</summary>
    public static ReportTable Work(IReadOnlyList<ComparisonRow> rows)
    {
        var (isTimed, hasEnergy) = (rows.Any(row => row.Speed is not null), rows.Any(row => row.Speed?.JoulesPerToken is not null));
        List<string> titles = ["method", "multiplications", "additions", "weights read", "cache read", "memory"];
        if (isTimed)
            titles.Add("tokens/s");
        if (hasEnergy)
            titles.Add("J/token");
        return new("Work per token", [titles, .. rows.Select(Line)]);

        List<string> Line(ComparisonRow row)
        {
            var work = row.Work;
            List<string> cells = [row.Title, Units.Count(work.Operations.Multiplications), Units.Count(work.Operations.Additions), Units.Bytes(work.WeightBytes), Units.Bytes(work.Bytes - work.WeightBytes), Units.Bytes(work.MemoryBytes)];
            if (isTimed)
                cells.Add(row.Speed is { } speed ? Number(speed.TokensPerSecond, "0.0") : "");
            if (hasEnergy)
                cells.Add(row.Speed?.JoulesPerToken is { } joules ? joules.ToString("G3", CultureInfo.InvariantCulture) : "");
            return cells;
        }
    }

    /// <summary>With the digits that matter.</summary>
    public static string Perplexity(double value) => value >= 1e6 ? Number(value, "0.0e0") : Number(value, value < 1000 ? "0.00" : "0");

    public string Markdown()
    {
        var text = new StringBuilder();
        foreach (var (index, cells) in Lines.Index())
        {
            text.Append(CultureInfo.InvariantCulture, $"| {string.Join(" | ", cells.Select(cell => cell.Replace("|", "\\|", StringComparison.Ordinal)))} |\n");
            if (index == 0)
                text.Append(CultureInfo.InvariantCulture, $"|{string.Concat(cells.Select((_, k) => k == 0 ? "---|" : "---:|"))}\n");
        }
        return text.ToString();
    }

    public static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
