using System.Text.Json.Nodes;

namespace Qbb.Standalone.Registry;

/// <summary>Follows a pipeline until it has ended.</summary>
internal static class Watching
{
    private static readonly TimeSpan s_again = TimeSpan.FromSeconds(1);

    /// <param name="client">The registry.</param>
    /// <param name="pipeline">Its id.</param>
    /// <param name="report">Told of (units done, units in all, the stage at hand).</param>
    /// <param name="cancel">Stops following; the pipeline goes on.</param>
    /// <returns>The pipeline as it ended.</returns>
    public static async Task<JsonObject> RunAsync(RegistryClient client, string pipeline, Action<double, double, string> report, CancellationToken cancel)
    {
        while (true)
        {
            var state = await client.GetAsync($"api/pipelines/{pipeline}", cancel);
            if (HasEnded(state))
                return state;
            try
            {
                if (await FollowAsync(client, pipeline, report, cancel) is { } ended)
                    return ended;
            }
            catch (Exception error) when (error is IOException or HttpRequestException)
            {
                // The registry was restarted: it goes on where it was.
            }
            await Task.Delay(s_again, cancel);
        }
    }

    /// <summary>Whether a pipeline has come to its end, good or bad.</summary>
    public static bool HasEnded(JsonObject pipeline) => pipeline["state"]?.ToString() is "succeeded" or "failed" or "cancelled";

    private static async Task<JsonObject?> FollowAsync(
        RegistryClient client, string pipeline, Action<double, double, string> report, CancellationToken cancel)
    {
        using var answer = await client.DownloadAsync($"api/pipelines/{pipeline}/events", cancel);
        using var reader = new StreamReader(await answer.Content.ReadAsStreamAsync(cancel));
        while (await reader.ReadLineAsync(cancel) is { } line)
        {
            if (!line.StartsWith("data:", StringComparison.Ordinal) || JsonNode.Parse(line[5..]) is not JsonObject state)
                continue;
            report(Number(state["done"]), Math.Max(1, Number(state["total"])), state["stage"]?.ToString() ?? "");
            if (HasEnded(state))
                return state;
        }
        return null;
    }

    private static double Number(JsonNode? node) => node?.GetValue<double>() ?? 0;
}
