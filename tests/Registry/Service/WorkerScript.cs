using System.Collections.Concurrent;

namespace Qbb.Registry.Tests.Service;

/// <summary>How the scripted workers behave, and what they were asked.</summary>
internal sealed class WorkerScript
{
    public int Layers { get; set; } = 4;

    /// <summary>Decompositions wait for this.</summary>
    public Task Decompose { get; set; } = Task.CompletedTask;

    /// <summary>The reason to fail a command for good; null for none.</summary>
    public Func<object, string?> Refuse { get; set; } = _ => null;

    /// <summary>Whether to break down over a command.</summary>
    public Func<object, bool> Crash { get; set; } = _ => false;

    /// <summary>Times that every event is sent.</summary>
    public int Copies { get; set; } = 1;

    /// <summary>Layers all have the same result, which is stored once: for when the work itself is to cost nothing.</summary>
    public bool SameLayers { get; set; }

    public ConcurrentQueue<object> Commands { get; } = new();

    public int Count<T>() => Commands.OfType<T>().Count();
}
