namespace Qbb.Workers.Units;

/// <summary>A unit at hand for a pipeline.</summary>
internal sealed class PipelineWork(Guid pipeline, DateTime sent, Action<PipelineWork> end) : IDisposable
{
    private readonly CancellationTokenSource _source = new();

    public Guid Pipeline => pipeline;

    public DateTime Sent => sent;

    public CancellationToken Token => _source.Token;

    public void Cancel() => _source.Cancel();

    public void Dispose()
    {
        end(this);
        _source.Dispose();
    }
}
