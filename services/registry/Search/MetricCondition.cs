using System.Globalization;
using System.Text.RegularExpressions;
using Qbb.Registry.Http;
using Qbb.Registry.Models;

namespace Qbb.Registry.Search;

/// <summary>A condition on a figure, such as kl&lt;=0.1.</summary>
internal sealed partial record MetricCondition(string Name, string Comparison, double Value)
{
    /// <exception cref="RefusedException">The text is no condition.</exception>
    public static MetricCondition Parse(string text)
    {
        var match = Pattern().Match(text);
        if (match.Success && double.TryParse(match.Groups[3].Value, NumberStyles.Float, CultureInfo.InvariantCulture, out var value))
            return new MetricCondition(match.Groups[1].Value, match.Groups[2].Value, value);
        throw RefusedException.Invalid($"the condition {text} is none: write a metric, one of <, <=, >, >=, =, and a number, such as kl<=0.1");
    }

    public IQueryable<ModelVersion> Apply(IQueryable<ModelVersion> versions) => Comparison switch
    {
        "<" => versions.Where(version => version.Metrics.Any(metric => metric.Name == Name && metric.Value < Value)),
        "<=" => versions.Where(version => version.Metrics.Any(metric => metric.Name == Name && metric.Value <= Value)),
        ">" => versions.Where(version => version.Metrics.Any(metric => metric.Name == Name && metric.Value > Value)),
        ">=" => versions.Where(version => version.Metrics.Any(metric => metric.Name == Name && metric.Value >= Value)),
        _ => versions.Where(version => version.Metrics.Any(metric => metric.Name == Name && metric.Value == Value)),
    };

    [GeneratedRegex(@"\A([A-Za-z0-9._-]{1,64})(<=|>=|<|>|=)(.{1,40})\z", RegexOptions.CultureInvariant)]
    private static partial Regex Pattern();
}
