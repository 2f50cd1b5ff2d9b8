using System.Collections.Concurrent;

namespace Qbb.Workers.Tests;

/// <summary>What the worker told, in order.</summary>
internal sealed class Told
{
    public ConcurrentQueue<object> All { get; } = new();
}
