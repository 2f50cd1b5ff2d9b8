using System.Collections.Concurrent;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Qbb.Evaluator;
using Qbb.Hosting;
using Qbb.Quantizer;
using Qbb.Registry;
using Qbb.Synthdata;

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary>A service that runs, as a process or inside the test.</summary>
internal interface IRunningService : IDisposable
{
    bool HasExited { get; }

    /// <summary>What it said so far.</summary>
    string Log { get; }

    /// <summary>Ready when it returns.</summary>
    Task ReadyAsync();

    void Kill();

    /// <summary>Waits for it to end by itself; the exit code.</summary>
    Task<int> ExitAsync();
}

/// <summary>A service inside the test, with the settings that its process would have: it spares a start of seconds where the process is not what is tested.</summary>
internal sealed class ServiceApp : IRunningService
{
    private const int Killed = 137;
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(120);

    private static readonly Dictionary<string, Action<WebApplicationBuilder>> s_services = new()
    {
        ["qbb-registry"] = builder => builder.AddRegistry(),
        ["qbb-synthdata"] = builder => builder.AddSynthdata(),
        ["qbb-quantizer"] = builder => builder.AddQuantizer(),
        ["qbb-evaluator"] = builder => builder.AddEvaluator(),
    };

    private readonly ConcurrentQueue<string> _log = [];
    private readonly TaskCompletionSource _ready = new();
    private readonly CancellationTokenSource _kill = new();
    private readonly Task<int> _run;

    /// <param name="program">qbb-registry, qbb-quantizer, …</param>
    /// <param name="settings">As Section:Name=value, or arguments with their hyphens.</param>
    public ServiceApp(string program, IEnumerable<string> settings)
    {
        // What is at hand when it is killed is handed back at once, as by a process that is gone.
        string[] arguments = [.. settings.Select(setting => setting.Contains('=') ? "--" + setting : setting), "--Bus:FinishSeconds=0"];
        _run = Task.Run(() => RunAsync(program, arguments));
    }

    public bool HasExited => _run.IsCompleted;

    public string Log => string.Join('\n', _log);

    public async Task ReadyAsync() => await await Task.WhenAny(_ready.Task, _run).WaitAsync(s_patience);

    public void Kill()
    {
        _kill.Cancel();
        _run.Wait(s_patience);
    }

    public Task<int> ExitAsync() => _run.WaitAsync(s_patience);

    public void Dispose()
    {
        if (!HasExited)
            Kill();
        _kill.Dispose();
    }

    private async Task<int> RunAsync(string program, string[] arguments)
    {
        try
        {
            await using var app = ServiceHost.Build(arguments, program.Split('-')[1], "http://127.0.0.1:0", builder =>
            {
                builder.Logging.ClearProviders().AddProvider(new Journal(program, _log));
                s_services[program](builder);
            }, app =>
            {
                if (program == "qbb-registry")
                    app.MapRegistry();
            });
            await ServiceHost.StartAsync(app, _kill.Token);
            _ready.SetResult();
            await app.WaitForShutdownAsync(_kill.Token);
            return _kill.IsCancellationRequested ? Killed : app.Services.GetRequiredService<ServiceExit>().Code;
        }
        catch (OperationCanceledException) when (_kill.IsCancellationRequested)
        {
            return Killed;
        }
    }
}

/// <summary>Keeps what a service says.</summary>
internal sealed class Journal(string service, ConcurrentQueue<string> lines) : ILoggerProvider, ILogger
{
    public ILogger CreateLogger(string categoryName) => this;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Debug;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        lines.Enqueue($"{DateTime.UtcNow:HH:mm:ss.fff} {service} {logLevel}: {formatter(state, exception)} {exception?.GetBaseException().Message}");

    public void Dispose()
    {
    }
}
