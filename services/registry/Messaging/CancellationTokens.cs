namespace Qbb.Registry.Messaging;

internal static class CancellationTokens
{
    /// <summary>Waits until a token is cancelled, such as the one that says that the host has started.</summary>
    public static async Task WhenCancelledAsync(this CancellationToken happened, CancellationToken cancellation)
    {
        var source = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var registration = happened.Register(source.SetResult);
        await source.Task.WaitAsync(cancellation);
    }
}
