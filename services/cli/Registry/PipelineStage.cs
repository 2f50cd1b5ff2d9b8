namespace Qbb.Cli.Registry;

/// <summary>A pipeline that was watched did not succeed.</summary>
internal sealed class PipelineFailedException(string message, string remedy) : Exception($"{message}: {remedy}")
{
    public string Remedy => remedy;
}

/// <summary>How far a pipeline is, in words for a terminal.</summary>
internal static class PipelineStage
{
    public static string Name(PipelineView pipeline) => pipeline.RecipeName ?? pipeline.Recipe[..Math.Min(8, pipeline.Recipe.Length)];

    /// <summary>distil 12 of 60; queued; failed.</summary>
    public static string Text(PipelineView pipeline)
    {
        if (pipeline.State != PipelineState.Running)
            return Wire.NameOf(pipeline.State);
        var stage = Wire.NameOf(pipeline.Stage);
        var place = pipeline.Ahead is > 0 and var ahead ? $", {ahead} units ahead" : "";
        return (pipeline.Total > 0 ? $"{stage} {pipeline.Done} of {pipeline.Total}" : stage) + place;
    }

    /// <summary>about 3 min 20 s left; empty while it is not known.</summary>
    public static string Left(PipelineView pipeline) =>
        pipeline.EtaSeconds is { } seconds && !pipeline.State.HasEnded() ? $"about {Duration(seconds)} left" : "";

    public static string Duration(double seconds) => TimeSpan.FromSeconds(Math.Round(Math.Max(0, seconds))) switch
    {
        { TotalMinutes: < 1 } time => $"{time.Seconds} s",
        { TotalHours: < 1 } time => $"{time.Minutes} min {time.Seconds:00} s",
        var time => $"{(int)time.TotalHours} h {time.Minutes:00} min",
    };
}
