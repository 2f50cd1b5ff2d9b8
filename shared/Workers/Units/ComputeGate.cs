namespace Qbb.Workers.Units;

/// <summary>
/// One unit at a time in a process: each uses all cores, or the GPU, and the models that are loaded are shared by the services of the process.
/// </summary>
public sealed class ComputeGate : IDisposable
{
    private readonly SemaphoreSlim _free = new(1);

    /// <summary>Runs work when its turn has come, on a thread that may be kept busy.</summary>
    public async Task<T> RunAsync<T>(Func<Task<T>> work, CancellationToken cancellation)
    {
        await _free.WaitAsync(cancellation);
        try
        {
            return await Task.Run(work, cancellation);
        }
        finally
        {
            _free.Release();
        }
    }

    public void Dispose() => _free.Dispose();
}
