namespace Qbb.Registry.Models;

/// <summary>Which version of a model is the champion.</summary>
internal static class ChampionRule
{
    /// <summary>What is wrong with a version; null where it passes.</summary>
    public static string? Refusal(Gate gate, IReadOnlyDictionary<string, double> metrics)
    {
        double? Find(string name) => metrics.TryGetValue(name, out var value) ? value : null;
        if (Find(MetricNames.Kl) is not { } kl)
            return "it was not evaluated";
        if (gate.MaxKl is { } mostKl && kl > mostKl)
            return $"its KL is {kl:0.####} nats, the gate allows {mostKl}";
        if (gate.MaxPerplexityRatio is { } mostRatio)
        {
            var ratio = Find(MetricNames.Perplexity) / Find(MetricNames.TeacherPerplexity);
            if (ratio is not { } found || found > mostRatio)
                return $"its perplexity is {ratio?.ToString("0.###") ?? "unknown"} times the teacher's, the gate allows {mostRatio}";
        }
        if (gate.MaxBitsPerWeight is { } mostBits)
        {
            var bits = Find(MetricNames.BitsPerWeight);
            if (bits is not { } found || found > mostBits)
                return $"it has {bits?.ToString("0.###") ?? "unknown"} bits per weight, the budget is {mostBits}";
        }
        return null;
    }

    /// <summary>The version of the lowest KL that passes; of equal ones the smaller, then the older. Null where none passes.</summary>
    public static int? Choose(Gate gate, IEnumerable<(int Number, IReadOnlyDictionary<string, double> Metrics)> versions) => versions
        .Where(version => Refusal(gate, version.Metrics) is null)
        .OrderBy(version => version.Metrics[MetricNames.Kl])
        .ThenBy(version => version.Metrics.GetValueOrDefault(MetricNames.BitsPerWeight, double.MaxValue))
        .ThenBy(version => version.Number)
        .Select(version => (int?)version.Number).FirstOrDefault();
}
