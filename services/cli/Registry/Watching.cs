using System.Diagnostics;
using System.Text.Json.Nodes;

namespace Qbb.Cli.Registry;

/// <summary>Follows a pipeline until it has ended.</summary>
/// <param name="client">The registry.</param>
/// <param name="report">Told of the pipeline whenever it changes.</param>
/// <param name="patience">How long a registry that was there may be away: it goes on where it was.</param>
internal sealed class Watching(RegistryClient client, Action<JsonObject> report, TimeSpan patience)
{
    private static readonly TimeSpan s_again = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_look = TimeSpan.FromSeconds(5);

    /// <summary>Whether a pipeline has come to its end, good or bad.</summary>
    public static bool HasEnded(JsonObject pipeline) => pipeline["state"]?.ToString() is "succeeded" or "failed" or "cancelled";

    /// <param name="pipeline">Its id.</param>
    /// <param name="away">Told once that the registry does not answer.</param>
    /// <param name="cancel">Stops following; the pipeline goes on.</param>
    /// <returns>The pipeline as it ended.</returns>
    /// <exception cref="RegistryAwayException">The registry was away for longer than patience allows.</exception>
    public async Task<JsonObject> RunAsync(string pipeline, Action away, CancellationToken cancel)
    {
        Stopwatch? silent = null;
        while (true)
        {
            try
            {
                var state = await client.GetAsync($"api/pipelines/{pipeline}", cancel);
                silent = null;
                report(state);
                if (HasEnded(state) || await FollowAsync(pipeline, cancel) is { } ended && HasEnded(state = ended))
                    return state;
            }
            catch (Exception error) when (error is IOException or HttpRequestException or RegistryAwayException)
            {
                if (silent is null)
                    away();
                silent ??= Stopwatch.StartNew();
                if (silent.Elapsed > patience)
                {
                    throw new RegistryAwayException(
                        $"the registry at {client.Address} has not answered for {patience.TotalSeconds:0} s: start it again, it goes on where it was, and watch again", error);
                }
            }
            await Task.Delay(s_again, cancel);
        }
    }

    /// <returns>The pipeline as it ended; null where the stream did before.</returns>
    private async Task<JsonObject?> FollowAsync(string pipeline, CancellationToken cancel)
    {
        using var answer = await client.DownloadAsync($"api/pipelines/{pipeline}/events", cancel);
        using var reader = new StreamReader(await answer.Content.ReadAsStreamAsync(cancel));
        var next = reader.ReadLineAsync(cancel).AsTask();
        while (true)
        {
            if (await Task.WhenAny(next, Task.Delay(s_look, cancel)) != next)
            {
                // Nothing changed but the time that is left.
                report(await client.GetAsync($"api/pipelines/{pipeline}", cancel));
                continue;
            }
            if (await next is not { } line)
                return null;
            next = reader.ReadLineAsync(cancel).AsTask();
            if (!line.StartsWith("data:", StringComparison.Ordinal) || JsonNode.Parse(line[5..]) is not JsonObject state)
                continue;
            report(state);
            if (HasEnded(state))
                return state;
        }
    }
}
