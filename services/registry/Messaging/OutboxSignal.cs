namespace Qbb.Registry.Messaging;

/// <summary>Wakes the dispatcher when something was saved in the outbox.</summary>
internal sealed class OutboxSignal
{
    private readonly SemaphoreSlim _pending = new(0, 1);

    public void Set()
    {
        try
        {
            _pending.Release();
        }
        catch (SemaphoreFullException)
        {
            // It is awake already.
        }
    }

    /// <summary>Waits until there is something, or so long.</summary>
    public Task WaitAsync(TimeSpan most, CancellationToken cancellation) => _pending.WaitAsync(most, cancellation);
}
