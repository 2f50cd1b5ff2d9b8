using MassTransit;

namespace Qbb.EndToEnd.Tests;

/// <summary>When copies of messages are sent, by a seed.</summary>
internal sealed class EchoDelays(int seed)
{
    private readonly Random _random = new(seed);
    private int _due;
    private int _sent;

    /// <summary>Where the copies go.</summary>
    public IBus Bus { get; set; } = null!;

    /// <summary>Copies that were sent.</summary>
    public int Sent => _sent;

    public TimeSpan Next()
    {
        Interlocked.Increment(ref _due);
        lock (_random)
            return TimeSpan.FromMilliseconds(_random.Next(2000));
    }

    public void Count() => Interlocked.Increment(ref _sent);

    /// <summary>Waits for the copies whose time has not come: they may be later than what they are copies of has ended.</summary>
    public async Task SentAsync()
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (Volatile.Read(ref _sent) < Volatile.Read(ref _due))
            await Task.Delay(20, patience.Token);
    }
}
