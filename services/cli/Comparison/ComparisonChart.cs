namespace Qbb.Cli.Comparison;

/// <summary>Quality and speed over size: a line per method and group, its points by bits.</summary>
internal static class ComparisonChart
{
    private const string Bits = "bits per weight";

    /// <summary>Of every text a figure of perplexity and one of divergence, and one of speed where it was measured; none while there is no row beside the teacher's.</summary>
    public static IEnumerable<(string Title, string Svg)> All(IReadOnlyList<ComparisonRow> rows)
    {
        var quantized = rows.Where(row => row.Method != ComparisonRow.Teacher).ToList();
        if (quantized.Count == 0)
            yield break;
        for (var text = 0; text < rows[0].Scores.Count; text++)
        {
            var name = rows[0].Scores[text].Text;
            yield return ($"Perplexity over bits per weight, {name}", Draw(Bits, "perplexity", quantized, row => row.BitsPerWeight, row => row.Scores[text].Perplexity, rows.FirstOrDefault(row => row.Method == ComparisonRow.Teacher)?.Scores[text].Perplexity));
            yield return ($"KL divergence over bits per weight, {name}", Draw(Bits, "KL (nats per token)", quantized, row => row.BitsPerWeight, row => row.Scores[text].Kl ?? double.NaN, null));
        }
        if (quantized.Exists(row => row.Speed is not null))
            yield return ("Decoding speed over size, as qbb stores and runs the models", Draw("size (MB)", "tokens per second", quantized, row => row.Bytes / 1e6, row => row.Speed?.TokensPerSecond ?? double.NaN, rows.FirstOrDefault(row => row.Method == ComparisonRow.Teacher)?.Speed?.TokensPerSecond));
    }

    private static string Draw(string x, string y, List<ComparisonRow> rows, Func<ComparisonRow, double> place, Func<ComparisonRow, double> value, double? teacher)
    {
        using var plot = new ReportPlot(x, y, isLogarithmic: true);
        var lines = rows.GroupBy(row => (row.Method, row.Group)).ToList();
        var manyGroups = lines.Where(HasGroups).Select(line => line.Key.Group).Distinct().Count() > 1;
        foreach (var line in lines)
        {
            var group = line.Key.Group is { } size ? $"g = {size}" : "a scale per row";
            plot.Line(manyGroups && HasGroups(line) ? $"{line.Key.Method}, {group}" : line.Key.Method, line.OrderBy(place).Select(row => (place(row), value(row))));
        }
        if (teacher is { } level)
            plot.Level("teacher", level);
        return plot.ToSvg();
    }

    private static bool HasGroups(IGrouping<(string Method, int? Group), ComparisonRow> line) => line.First().Bases is not null && !ComparedMethod.Of(line.Key.Method).IsLattice;
}
