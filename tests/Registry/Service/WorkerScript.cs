using System.Collections.Concurrent;
using System.Reflection;
using Qbb.Artifacts;

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

    /// <summary>Whether the store is out of reach for a command.</summary>
    public Func<object, bool> IsAway { get; set; } = _ => false;

    /// <summary>Whether the machine is at fault for a command.</summary>
    public Func<object, bool> IsBroken { get; set; } = _ => false;

    /// <summary>Why distillations are of no use; null where they are.</summary>
    public string? Undistilled { get; set; }

    /// <summary>Whether the registry's store is away for a method of it.</summary>
    public Func<string, bool> IsStoreAway { get; set; } = _ => false;

    /// <summary>Times that every event is sent.</summary>
    public int Copies { get; set; } = 1;

    /// <summary>Layers all have the same result, which is stored once: for when the work itself is to cost nothing.</summary>
    public bool SameLayers { get; set; }

    /// <summary>Told of every command before it is done.</summary>
    public Action<object> Before { get; set; } = _ => { };

    /// <summary>Keeps a command from being done.</summary>
    public Func<object, Task> Hold { get; set; } = _ => Task.CompletedTask;

    /// <summary>What a unit takes, as the worker says; null where it does not.</summary>
    public Func<object, double?> Seconds { get; set; } = _ => null;

    public ConcurrentQueue<object> Commands { get; } = new();

    public int Count<T>() => Commands.OfType<T>().Count();
}

/// <summary>A store that is away when the script says so.</summary>
internal class AwayStore : DispatchProxy
{
    private IArtifactStore _store = null!;
    private WorkerScript _script = null!;

    public static IArtifactStore Over(IArtifactStore store, WorkerScript script)
    {
        var proxy = Create<IArtifactStore, AwayStore>();
        ((AwayStore)(object)proxy)._store = store;
        ((AwayStore)(object)proxy)._script = script;
        return proxy;
    }

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => _script.IsStoreAway(targetMethod!.Name)
        ? throw new StoreAwayException("the store does not answer")
        : targetMethod.Invoke(_store, BindingFlags.DoNotWrapExceptions, null, args, null);
}
