using Qbb.Registry.Http;
using Qbb.Registry.Pipelines.Machine;

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
            .. kinds.Select((kind, index) => (Kind: kind, Index: index)).GroupBy(kind => Machine.Stages.Of(kind.Kind)).Select(stage =>
            {
                var counts = stage.Select(kind => CountOf(pipeline, kind.Kind, kind.Index - current)).ToList();
                var state = stage.All(kind => kind.Index < current) ? StageState.Done
                    : began && stage.Any(kind => kind.Index <= current) ? StageState.Running : StageState.Waiting;
                return new StageView(stage.Key, state, counts.Sum(count => count.Done), counts.Sum(count => count.Total));
            }),
        ];
    }

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
