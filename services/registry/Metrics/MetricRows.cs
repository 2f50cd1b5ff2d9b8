namespace Qbb.Registry.Models;

internal static class MetricRows
{
    /// <summary>Sets a figure of a version whose metrics are loaded.</summary>
    public static void Set(ModelVersion version, string name, double value)
    {
        // A database knows no NaN that compares: a figure that is none is left out, and no gate lets it through.
        if (!double.IsFinite(value))
            return;
        if (version.Metrics.Find(metric => metric.Name == name) is { } there)
            there.Value = value;
        else
            version.Metrics.Add(new Metric { VersionId = version.Id, Name = name, Value = value });
    }
}
