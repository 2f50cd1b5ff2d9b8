using Qbb.Registry.Pages.Charts;
using Qbb.Registry.Pipelines.Machine;

namespace Qbb.Registry.Pages;

/// <summary>A pipeline's stages with the time that each took.</summary>
internal static class PipelineSteps
{
    public static IReadOnlyList<StageTrack.Step> Of(Pipeline row, PipelineView pipeline, DateTimeOffset now)
    {
        var seconds = row.Times.GroupBy(time => Stages.Of(time.Kind))
            .ToDictionary(group => group.Key, group => group.Sum(time => time.Seconds));
        if (row.Status == PipelineStatus.Running && row.StartedAt is not null)
            seconds[pipeline.Stage] = seconds.GetValueOrDefault(pipeline.Stage) + Math.Max(0, (now - row.KindStartedAt).TotalSeconds);
        return [.. pipeline.Stages.Select(stage => new StageTrack.Step(
            stage.Name, row.HasEnded ? AtEnd(stage.State, pipeline.State) : Wire.NameOf(stage.State), stage.Done, stage.Total,
            seconds.TryGetValue(stage.Name, out var took) ? took : null))];
    }

    /// <summary>In a pipeline that has ended nothing runs or waits.</summary>
    private static string AtEnd(StageState stage, PipelineState pipeline) => stage switch
    {
        StageState.Running => Wire.NameOf(pipeline),
        StageState.Waiting => "not begun",
        _ => Wire.NameOf(stage),
    };
}
