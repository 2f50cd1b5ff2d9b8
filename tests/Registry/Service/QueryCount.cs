using System.Collections.Concurrent;
using System.Diagnostics;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace Qbb.Registry.Tests.Service;

/// <summary>The commands that the database was sent for the requests of a test, and for no others: they carry its trace.</summary>
internal sealed class QueryCount : IDisposable, IObserver<DiagnosticListener>, IObserver<KeyValuePair<string, object?>>
{
    private readonly Activity _trace = new Activity("test").Start();
    private readonly ConcurrentQueue<string> _commands = new();
    private readonly List<IDisposable> _subscriptions = [];

    public QueryCount() => _subscriptions.Add(DiagnosticListener.AllListeners.Subscribe(this));

    /// <summary>What a request sends.</summary>
    public async Task<IReadOnlyList<string>> OfAsync(Func<Task> request)
    {
        _commands.Clear();
        Activity.Current = _trace;
        await request();
        return [.. _commands];
    }

    public void OnNext(DiagnosticListener value)
    {
        if (value.Name == DbLoggerCategory.Name)
            _subscriptions.Add(value.Subscribe(this, name => name == RelationalEventId.CommandExecuted.Name));
    }

    public void OnNext(KeyValuePair<string, object?> value)
    {
        if (value.Value is CommandExecutedEventData { Command: var command } && Activity.Current?.TraceId == _trace.TraceId)
            _commands.Enqueue(command.CommandText);
    }

    public void OnCompleted()
    {
    }

    public void OnError(Exception error)
    {
    }

    public void Dispose()
    {
        _subscriptions.ForEach(subscription => subscription.Dispose());
        _trace.Dispose();
    }
}
