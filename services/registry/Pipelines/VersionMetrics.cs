using Qbb.Registry.Pipelines.Machine;

namespace Qbb.Registry.Pipelines.Running;

/// <summary>A version's figures out of what the units report.</summary>
internal static class VersionMetrics
{
    /// <param name="units">Units with reports, in their order, so that sums come out the same every time.</param>
    public static IEnumerable<(string Name, double Value)> Of(IReadOnlyList<PipelineUnit> units)
    {
        var reports = units.Where(unit => unit.Report is not null).Select(unit => (unit.Kind, Report: unit.Report!)).ToList();
        if (reports.Select(unit => unit.Report.Sums).OfType<ScoreSums>().ToList() is { Count: > 0 } all)
        {
            var sums = all.Aggregate((a, b) => a + b);
            yield return (MetricNames.Perplexity, Math.Exp(sums.CrossEntropy / sums.Positions));
            yield return (MetricNames.TeacherPerplexity, Math.Exp(sums.TeacherCrossEntropy / sums.Positions));
            yield return (MetricNames.Kl, sums.Divergence / sums.Positions);
            yield return (MetricNames.Top1, (double)sums.Agreements / sums.Positions);
        }
        // The evaluation measures the model that is published; assembling measures the one before distillation.
        var measured = reports.LastOrDefault(unit => unit.Kind == UnitKind.Evaluate).Report;
        if (measured?.BitsPerWeight is { } bits)
            yield return (MetricNames.BitsPerWeight, bits);
        if (measured?.Bytes is { } bytes)
            yield return (MetricNames.Bytes, bytes);
        if (reports.FirstOrDefault(unit => unit.Kind == UnitKind.AssembleModel).Report?.RelativeError is { } error)
            yield return (MetricNames.RelativeError, error);
        if (reports.LastOrDefault(unit => unit.Kind == UnitKind.Distil).Report is { StartKl: { } before, Kl: { } after })
        {
            yield return (MetricNames.HeldOutKlBefore, before);
            yield return (MetricNames.HeldOutKlAfter, after);
        }
    }
}
