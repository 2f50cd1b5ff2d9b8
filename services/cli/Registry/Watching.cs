using System.Diagnostics;

namespace Qbb.Cli.Registry;

/// <summary>Follows a pipeline until it has ended.</summary>
/// <param name="registry">The registry.</param>
/// <param name="report">Told of the pipeline whenever it changes.</param>
/// <param name="patience">How long a registry that was there may be away: it resumes where it was.</param>
internal sealed class Watching(IRegistryApi registry, Action<PipelineView> report, TimeSpan patience)
{
    private static readonly TimeSpan s_again = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_look = TimeSpan.FromSeconds(5);

    /// <param name="pipeline">Its id.</param>
    /// <param name="away">Told once that the registry does not answer.</param>
    /// <param name="cancel">Stops following; the pipeline goes on.</param>
    /// <returns>The pipeline as it ended.</returns>
    /// <exception cref="RegistryAwayException">The registry was away for longer than patience allows.</exception>
    public async Task<PipelineView> RunAsync(Guid pipeline, Action away, CancellationToken cancel)
    {
        Stopwatch? silent = null;
        while (true)
        {
            try
            {
                var state = await registry.GetPipelineAsync(pipeline, cancel);
                silent = null;
                report(state);
                if (state.State.HasEnded() || await FollowAsync(pipeline, cancel) is { } ended && (state = ended).State.HasEnded())
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
                        $"the registry at {registry.AddressOf()} has not answered for {patience.TotalSeconds:0} s",
                        "start it again (it resumes), then watch again", error);
                }
            }
            await Task.Delay(s_again, cancel);
        }
    }

    /// <returns>The pipeline as the stream left it; null where the stream told nothing.</returns>
    private async Task<PipelineView?> FollowAsync(Guid pipeline, CancellationToken cancel)
    {
        PipelineView? last = null;
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        var looking = LookAsync(pipeline, stop.Token);
        try
        {
            await foreach (var state in registry.WatchPipelineAsync(pipeline, cancel))
                report(last = state);
        }
        finally
        {
            await stop.CancelAsync();
            await looking;
        }
        return last;
    }

    /// <summary>Looks now and then while nothing changes but the time that is left.</summary>
    private async Task LookAsync(Guid pipeline, CancellationToken stop)
    {
        try
        {
            while (true)
            {
                await Task.Delay(s_look, stop);
                var state = await registry.GetPipelineAsync(pipeline, stop);
                if (!stop.IsCancellationRequested)
                    report(state);
            }
        }
        catch (Exception error) when (error is OperationCanceledException or IOException or HttpRequestException or InvalidInputException)
        {
            // The stream tells of it.
        }
    }
}
