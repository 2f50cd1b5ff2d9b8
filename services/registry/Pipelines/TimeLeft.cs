namespace Qbb.Registry.Pipelines.Machine;

/// <summary>How long a pipeline may still take.</summary>
internal static class TimeLeft
{
    /// <summary>
    /// What is left of the kind at hand at the rate that it has shown, and for the kinds behind it what they took an earlier pipeline.
    /// </summary>
    /// <param name="pipeline">A running pipeline.</param>
    /// <param name="earlier">Times of a finished pipeline, as alike as possible.</param>
    /// <param name="now">The time.</param>
    /// <returns>Null where nothing is known of one of the kinds.</returns>
    public static TimeSpan? Estimate(Pipeline pipeline, IReadOnlyList<KindTime> earlier, DateTimeOffset now)
    {
        if (pipeline.Status != PipelineStatus.Running)
            return null;
        var elapsed = (now - pipeline.KindStartedAt).TotalSeconds;
        var left = pipeline.Kind == UnitKind.Publish ? 0
            : pipeline.Done > 0 ? elapsed / pipeline.Done * (pipeline.Total - pipeline.Done)
            : SecondsOf(pipeline.Kind) is { } usual ? Math.Max(0, usual - elapsed) : null as double?;
        foreach (var kind in pipeline.Route.Kinds().SkipWhile(kind => kind != pipeline.Kind).Skip(1).Where(kind => kind != UnitKind.Publish))
            left += SecondsOf(kind);
        return left is { } seconds ? TimeSpan.FromSeconds(seconds) : null;

        double? SecondsOf(UnitKind kind) => earlier.LastOrDefault(time => time.Kind == kind)?.Seconds;
    }
}
