namespace Qbb.Cli.Registry;

/// <summary>Follows a pipeline until it has ended.</summary>
/// <param name="registry">The registry; its retries bridge the time that it is away.</param>
/// <param name="report">Told of the pipeline whenever it changes.</param>
internal sealed class Watching(IRegistryApi registry, Action<PipelineView> report)
{
    private static readonly TimeSpan s_again = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_look = TimeSpan.FromSeconds(5);

    /// <param name="pipeline">Its id.</param>
    /// <param name="cancel">Stops following; the pipeline continues.</param>
    /// <returns>The pipeline as it ended.</returns>
    public async Task<PipelineView> RunAsync(Guid pipeline, CancellationToken cancel)
    {
        while (true)
        {
            var state = await registry.GetPipelineAsync(pipeline, cancel);
            report(state);
            if (state.State.HasEnded() || await FollowAsync(pipeline, cancel) is { } ended && (state = ended).State.HasEnded())
                return state;
            await Task.Delay(s_again, cancel);
        }
    }

    /// <returns>The pipeline as the stream left it, which may break at any time; null where the stream told nothing.</returns>
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
        catch (Exception error) when (error is IOException or HttpRequestException)
        {
            // The next look waits for the registry.
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
