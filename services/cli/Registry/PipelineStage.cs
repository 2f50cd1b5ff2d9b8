using System.Text.Json.Nodes;

namespace Qbb.Cli.Registry;

/// <summary>How far a pipeline is, in words for a terminal.</summary>
internal static class PipelineStage
{
    public static string Name(JsonObject pipeline) => pipeline["recipeName"]?.ToString() ?? pipeline["recipe"]?.ToString()[..8] ?? "";

    /// <summary>distil 12 of 60; queued; failed.</summary>
    public static string Text(JsonObject pipeline)
    {
        if (pipeline["state"]?.ToString() is not "running" and var state)
            return state ?? "";
        var (done, total) = (Number(pipeline["done"]), Number(pipeline["total"]));
        return total > 0 ? $"{pipeline["stage"]} {done:0} of {total:0}" : $"{pipeline["stage"]}";
    }

    /// <summary>Of the whole, 0 to 1.</summary>
    public static double Share(JsonObject pipeline) => Number(pipeline["progress"]);

    /// <summary>about 3 min 20 s left; empty while it is not known.</summary>
    public static string Left(JsonObject pipeline) => pipeline["etaSeconds"] is { } seconds && Watching.HasEnded(pipeline) is false
        ? $"about {Duration(Number(seconds))} left"
        : "";

    public static string Duration(double seconds) => TimeSpan.FromSeconds(Math.Round(Math.Max(0, seconds))) switch
    {
        { TotalMinutes: < 1 } time => $"{time.Seconds} s",
        { TotalHours: < 1 } time => $"{time.Minutes} min {time.Seconds:00} s",
        var time => $"{(int)time.TotalHours} h {time.Minutes:00} min",
    };

    private static double Number(JsonNode? node) => node?.GetValue<double>() ?? 0;
}
