using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Pipelines.Stages;

namespace Qbb.Registry.Pipelines;

/// <summary>How far a pipeline is.</summary>
internal static class PipelineProgress
{
    public static IReadOnlyList<StageView> Stages(Pipeline pipeline)
    {
        var kinds = pipeline.Route.Kinds().ToList();
        var current = pipeline.Status == PipelineStatus.Succeeded ? kinds.Count : kinds.IndexOf(pipeline.Kind);
        var began = pipeline.Issued > 0 || current > 0;
        return
        [
            .. kinds.Select((kind, index) => (Kind: kind, Index: index)).GroupBy(kind => UnitStages.Of(kind.Kind).Stage).Select(stage =>
            {
                var counts = stage.Select(kind => CountOf(pipeline, kind.Kind, kind.Index - current)).ToList();
                var state = stage.All(kind => kind.Index < current) ? StageState.Done
                    : began && stage.Any(kind => kind.Index <= current) ? Current(pipeline.Status) : StageState.Waiting;
                return new StageView(stage.Key, state, counts.Sum(count => count.Done), counts.Sum(count => count.Total));
            }),
        ];
    }

    private static StageState Current(PipelineStatus status) => status switch
    {
        PipelineStatus.Failed => StageState.Failed,
        PipelineStatus.Cancelled => StageState.Cancelled,
        _ => StageState.Running,
    };

    /// <summary>Share of the whole, every kind of work counting alike.</summary>
    public static double Share(Pipeline pipeline)
    {
        if (pipeline.Status == PipelineStatus.Succeeded)
            return 1;
        var kinds = pipeline.Route.Kinds().ToList();
        return (kinds.IndexOf(pipeline.Kind) + (pipeline.Total > 0 ? (double)pipeline.Done / pipeline.Total : 0)) / kinds.Count;
    }

    public static PipelineState StateOf(PipelineStatus status) => status switch
    {
        PipelineStatus.Created or PipelineStatus.Following => PipelineState.Queued,
        PipelineStatus.Running => PipelineState.Running,
        PipelineStatus.Succeeded => PipelineState.Succeeded,
        PipelineStatus.Failed => PipelineState.Failed,
        PipelineStatus.Cancelled => PipelineState.Cancelled,
        _ => throw new ArgumentOutOfRangeException(nameof(status), status, "unknown status"),
    };

    /// <summary>What a filter by state finds.</summary>
    /// <exception cref="RefusedException">There is no such state.</exception>
    public static PipelineStatus[] StatusesOf(string state)
    {
        var wanted = RefusedException.Parse<PipelineState>("state", state);
        return [.. Enum.GetValues<PipelineStatus>().Where(status => StateOf(status) == wanted)];
    }

    // Where it is behind the current kind, what it took says how many units there were.
    private static (int Done, int Total) CountOf(Pipeline pipeline, UnitKind kind, int fromCurrent)
    {
        if (fromCurrent == 0)
            return (pipeline.Done, pipeline.Total);
        var units = fromCurrent < 0 ? pipeline.Times.LastOrDefault(time => time.Kind == kind)?.Units ?? 0 : 0;
        return (units, units);
    }
}

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
        var left = pipeline.Kind == PublishStage.Kind ? 0
            : pipeline.Done > 0 ? elapsed / pipeline.Done * (pipeline.Total - pipeline.Done)
            : SecondsOf(pipeline.Kind) is { } usual ? Math.Max(0, usual - elapsed) : null as double?;
        foreach (var kind in pipeline.Route.After(pipeline.Kind).Where(kind => kind != PublishStage.Kind))
            left += SecondsOf(kind);
        return left is { } seconds ? TimeSpan.FromSeconds(seconds) : null;

        double? SecondsOf(UnitKind kind) => earlier.LastOrDefault(time => time.Kind == kind)?.Seconds;
    }
}
