using System.Globalization;

namespace Qbb.Registry.Pages;

/// <summary>How a figure is called and written.</summary>
/// <param name="Name">Its name among the metrics.</param>
/// <param name="Label">What people call it.</param>
/// <param name="Unit">Behind every value; empty for none.</param>
/// <param name="Format">Of the number.</param>
/// <param name="Hint">What it says, and whether more is better.</param>
internal sealed record FigureKind(string Name, string Label, string Unit, string Format, string Hint)
{
    private static readonly FigureKind[] s_known =
    [
        new(MetricNames.BitsPerWeight, "Bits per weight", "", "0.000", "stored bits of the quantized layers for each of their weights, scales included"),
        new(MetricNames.BitsPerParameter, "Bits per parameter", "", "0.000", "bits of all files that running the model needs for each of its parameters"),
        new(MetricNames.Perplexity, "Perplexity", "", "0.00", "of this version on the evaluation text; lower is better"),
        new(MetricNames.TeacherPerplexity, "Teacher's perplexity", "", "0.00", "of the model that it was made from, on the same text"),
        new(MetricNames.Kl, "KL divergence", "nats", "0.0000", "from the teacher's predictions, mean per position; lower is better"),
        new(MetricNames.Top1, "Top-1 agreement", "%", "0.0", "positions where both have the same most likely token; higher is better"),
        new(MetricNames.Bytes, "Size", "", "", "of all files that running the model needs"),
        new(MetricNames.RelativeError, "Relative weight error", "", "0.00000", "‖W − Ŵ‖²/‖W‖² before distillation; lower is better"),
        new(MetricNames.HeldOutKlBefore, "KL before distillation", "nats", "0.0000", "on sequences that were held out of the training"),
        new(MetricNames.HeldOutKlAfter, "KL after distillation", "nats", "0.0000", "on the same sequences"),
    ];

    public static FigureKind Of(string name) => s_known.FirstOrDefault(kind => kind.Name == name) ?? new FigureKind(name, name, "", "", "");

    /// <summary>The figures of some versions: known ones in their order, then the others by name.</summary>
    public static IEnumerable<FigureKind> Among(IEnumerable<string> names)
    {
        var all = names.ToHashSet(StringComparer.Ordinal);
        return [.. s_known.Where(kind => all.Contains(kind.Name)),
            .. all.Where(name => s_known.All(kind => kind.Name != name)).Order(StringComparer.Ordinal).Select(Of)];
    }

    public string Text(double value) => Name switch
    {
        MetricNames.Bytes => Numbers.Bytes((long)value),
        MetricNames.Top1 => Numbers.Percent(value, Format),
        MetricNames.Perplexity or MetricNames.TeacherPerplexity when value >= 1000 => Numbers.Format(value, "#,0"),
        _ => value.ToString(Format.Length > 0 ? Format : "G6", CultureInfo.InvariantCulture) + (Unit.Length > 0 ? " " + Unit : ""),
    };

    /// <summary>A version's figure; empty where it has none.</summary>
    public static string Text(IReadOnlyDictionary<string, double>? metrics, string name) =>
        metrics is not null && metrics.TryGetValue(name, out var value) ? Of(name).Text(value) : "";
}
