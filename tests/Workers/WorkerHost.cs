using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using MassTransit;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Time.Testing;
using Qbb.Artifacts;
using Qbb.Hosting;
using Qbb.Hosting.Bus;
using Qbb.Tests;
using Qbb.Workers.Units;

namespace Qbb.Workers.Tests;

/// <summary>A worker process inside the test, on a bus in memory, whose one kind of unit does what the test says; and everything that it tells.</summary>
internal sealed class WorkerHost : IAsyncDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);
    private readonly WebApplication _app;

    private WorkerHost(WebApplication app) => _app = app;

    public ConcurrentQueue<object> Told => _app.Services.GetRequiredService<Told>().All;

    public UnitScript Script => _app.Services.GetRequiredService<UnitScript>();

    public IArtifactStore Store => _app.Services.GetRequiredService<IArtifactStore>();

    public UnitMetrics Metrics => _app.Services.GetRequiredService<UnitMetrics>();

    public IUnitResults Results => _app.Services.GetRequiredService<IUnitResults>();

    /// <summary>The exit code that it would end with, once it has been told to stop by itself; null before.</summary>
    public int? Ended => _app.Lifetime.ApplicationStopping.IsCancellationRequested ? _app.Services.GetRequiredService<ServiceExit>().Code : null;

    public static Task<WorkerHost> StartAsync(TemporaryFolder folder, UnitScript script, params string[] more) => StartAsync(folder, script, TimeSpan.Zero, more);

    /// <param name="folder">For its store and its work.</param>
    /// <param name="script">What its units do.</param>
    /// <param name="time">That its start takes.</param>
    /// <param name="more">More settings.</param>
    public static async Task<WorkerHost> StartAsync(TemporaryFolder folder, UnitScript script, TimeSpan time, params string[] more)
    {
        const string anywhere = "http://127.0.0.1:0";
        string[] settings = [$"--Urls={anywhere}", $"--Artifacts:Folder={folder.File("store")}", $"--Worker:Folder={folder.File("work")}", "--Logging:LogLevel:Default=None", .. more];
        var app = ServiceHost.Build(settings, "worker", anywhere, builder =>
        {
            builder.Services.AddSingleton(script).AddSingleton<Told>();
            var clock = new FakeTimeProvider();
            builder.Services.AddSingleton<TimeProvider>(clock);
            builder.Services.AddHostedService(_ => new SlowStart(() => clock.Advance(time)));
            builder.AddWorker("scripted", (bus, queue) => bus.AddUnit<ScriptedConsumer>(queue));
            builder.Services.AddSingleton<IMachineCheck>(script);
            builder.AddConsumers("told", (bus, _) => bus.AddConsumer<ToldConsumer>().Endpoint(endpoint => endpoint.Name = "told"));
        });
        await ServiceHost.StartAsync(app);
        return new WorkerHost(app);
    }

    /// <summary>Sends a command as the registry does, or publishes another message.</summary>
    public Task SendAsync<T>(T message)
        where T : class => message is IUnitCommand
            ? _app.Services.GetRequiredService<QueueSender>().SendAsync("scripted", message, typeof(T), Guid.NewGuid(), CancellationToken.None)
            : _app.Services.GetRequiredService<IBus>().Publish(message);

    /// <summary>Waits until so many messages of a kind were told.</summary>
    public async Task<IReadOnlyList<T>> HearAsync<T>(int count = 1)
    {
        await WaitAsync(() => Told.OfType<T>().Count() >= count, $"{count} of {typeof(T)}");
        return [.. Told.OfType<T>()];
    }

    public async Task WaitAsync(Func<bool> condition, string what)
    {
        var watch = Stopwatch.StartNew();
        while (!condition())
        {
            watch.Elapsed.ShouldBeLessThan(s_patience, $"waiting for {what}; told so far: {string.Join(", ", Told)}");
            await Task.Delay(20);
        }
    }

    /// <summary>Stores a folder of one file, as the result of a unit.</summary>
    public async Task<Digest> StoreAsync(string text)
    {
        var blob = await Store.PutAsync(new MemoryStream(System.Text.Encoding.UTF8.GetBytes(text)));
        var manifest = new ArtifactManifest([KeyValuePair.Create("result.txt", new ManifestEntry(blob.Digest, blob.Size))]);
        await manifest.PutAsync(Store);
        return manifest.Digest;
    }

    /// <summary>Lets time pass.</summary>
    public async Task PassAsync(TimeSpan time)
    {
        // Whoever is to wait for it must have begun to.
        await Task.Delay(50);
        Advance(time);
    }

    public void Advance(TimeSpan time) => ((FakeTimeProvider)_app.Services.GetRequiredService<TimeProvider>()).Advance(time);

    /// <summary>Waits until the worker has closed its queue.</summary>
    public Task ClosedAsync() => WaitAsync(
        () => _app.Services.GetRequiredService<MachineBreaker>() is { Fault: not null, IsOpen: true }, "the worker to stop consuming");

    /// <summary>What a health endpoint says.</summary>
    public async Task<(HttpStatusCode Status, string Body)> ReadinessAsync(string kind = "ready")
    {
        using var http = new HttpClient();
        using var answer = await http.GetAsync($"{_app.Urls.First()}/health/{kind}");
        return (answer.StatusCode, await answer.Content.ReadAsStringAsync());
    }

    public Task StopAsync() => _app.StopAsync();

    public async ValueTask DisposeAsync()
    {
        await _app.StopAsync();
        await _app.DisposeAsync();
    }

    private sealed class SlowStart(Action passTime) : IHostedService
    {
        public Task StartAsync(CancellationToken cancellationToken)
        {
            passTime();
            return Task.CompletedTask;
        }

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
