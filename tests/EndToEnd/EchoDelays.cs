using MassTransit;

namespace Qbb.EndToEnd.Tests;

/// <summary>When copies of messages are sent, by a seed.</summary>
internal sealed class EchoDelays(int seed)
{
    private readonly Random _random = new(seed);
    private int _sent;

    /// <summary>Where the copies go.</summary>
    public IBus Bus { get; set; } = null!;

    /// <summary>Copies that were sent.</summary>
    public int Sent => _sent;

    public TimeSpan Next()
    {
        lock (_random)
            return TimeSpan.FromMilliseconds(_random.Next(2000));
    }

    public void Count() => Interlocked.Increment(ref _sent);
}
