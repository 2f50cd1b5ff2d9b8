using System.Collections.Concurrent;
using MassTransit;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Npgsql;
using Qbb.Artifacts;
using Qbb.Hosting;
using Qbb.Registry;
using Qbb.Registry.Tests.Service;
using Qbb.Tests;
using Qbb.Tests.S3;
using Qbb.Workers.Units;

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary>What the services of a <see cref="FaultCluster"/> depend on.</summary>
public enum Place
{
    Broker,
    Database,
    Store,
}

/// <summary>
/// A registry and workers in this process on a clock of the test's, over a real broker, database and S3 service, each behind a proxy; beside them one
/// process with nothing around it, which shows how a pipeline ends undisturbed. The workers' units do nothing but store a result.
/// </summary>
internal sealed class FaultCluster : IAsyncDisposable
{
    public const int Layers = 6;

    private readonly TemporaryFolder _folder = new();
    private readonly Dictionary<Place, FaultProxy> _proxies;
    private readonly FakeTimeProvider _clock = new();
    private readonly List<WebApplication> _apps = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly string[] _settings;
    private readonly string _database;
    private readonly ConcurrentQueue<string> _journal = new();
    private Task _ticking = Task.CompletedTask;

    private FaultCluster(RabbitServer broker, string database, S3Server s3)
    {
        var direct = new NpgsqlConnectionStringBuilder(database);
        _proxies = new()
        {
            [Place.Broker] = new(broker.Port),
            [Place.Database] = new(direct.Port),
            [Place.Store] = new(new Uri(s3.Endpoint).Port),
        };
        var behind = new NpgsqlConnectionStringBuilder(database) { Port = _proxies[Place.Database].Port, Timeout = 5, CommandTimeout = 10 };
        _database = database;
        _settings =
        [
            "Bus:Transport=RabbitMq", "Bus:Host=127.0.0.1", $"Bus:Port={_proxies[Place.Broker].Port}", $"Bus:Prefix=f{Guid.NewGuid().ToString("N")[..8]}",
            .. s3.Settings, $"Artifacts:S3:Endpoint=http://127.0.0.1:{_proxies[Place.Store].Port}", $"Artifacts:S3:Prefix={Guid.NewGuid():N}",
            "Database:Provider=Postgres", $"Database:ConnectionString={behind.ConnectionString}", "Pipelines:Attempts=1", "Pipelines:SilenceMinutes=10000",
            "Registry:CollectHours=0", "Bus:FinishSeconds=0",
        ];
    }

    public WorkerScript Script { get; } = new() { Layers = Layers };

    /// <summary>What is wrong with the workers' machine; null where nothing is.</summary>
    public MachineFault? Machine { get; set; }

    public RegistryCalls Registry { get; private set; } = null!;

    /// <summary>The one that is not disturbed.</summary>
    public RegistryCalls Undisturbed { get; private set; } = null!;

    public FaultProxy this[Place place] => _proxies[place];

    public static async Task<FaultCluster> StartAsync(RabbitServer broker, string database, S3Server s3)
    {
        var cluster = new FaultCluster(broker, database, s3);
        var registry = await cluster.RunAsync("registry", ["Artifacts:Folder=" + cluster._folder.File("registry")], builder => builder.AddRegistry(), app => app.MapRegistry());
        await cluster.StartWorkersAsync("workers", cluster.Script);
        var undisturbed = await cluster.RunAsync("undisturbed",
            [
                $"Artifacts:Folder={cluster._folder.File("undisturbed")}", $"Database:ConnectionString=Data Source={cluster._folder.File("undisturbed.db")}",
                $"Worker:Folder={cluster._folder.File("undisturbed-work")}", "Worker:Device=cpu",
            ], builder =>
            {
                builder.AddRegistry();
                cluster.AddWorkers(builder, new WorkerScript { Layers = Layers });
            }, app => app.MapRegistry());
        (cluster.Registry, cluster.Undisturbed) = (new RegistryCalls(registry.Urls.First()), new RegistryCalls(undisturbed.Urls.First()));
        cluster._ticking = cluster.TickAsync();
        return cluster;
    }

    /// <summary>Starts workers of all kinds.</summary>
    /// <param name="name">Of their process.</param>
    /// <param name="script">What they do.</param>
    /// <param name="settings">Beside the cluster's, above them.</param>
    public Task<WebApplication> StartWorkersAsync(string name, WorkerScript script, params string[] settings) => RunAsync(
        name, [$"Artifacts:Folder={_folder.File(name)}", $"Worker:Folder={_folder.File(name + "-work")}", "Worker:Device=cpu", .. settings],
        builder => AddWorkers(builder, script));

    /// <summary>Disturbs the way to a place for a time of the cluster's clock.</summary>
    public async Task DisturbAsync(Place place, Outage outage, TimeSpan time)
    {
        this[place].Outage = outage;
        await AfterAsync(time, () => this[place].Outage = Outage.None);
    }

    /// <summary>Does something after a time of the cluster's clock.</summary>
    public async Task AfterAsync(TimeSpan time, Action act)
    {
        await Task.Delay(time, _clock);
        act();
    }

    public async Task<long> CountAsync(string what)
    {
        await using var connection = new NpgsqlConnection(_database);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand($"SELECT count(*) FROM {what}", connection);
        return (long)(await command.ExecuteScalarAsync())!;
    }

    /// <summary>What the services said since the last look, and what is outstanding.</summary>
    public string Describe()
    {
        var said = new List<string>();
        while (_journal.TryDequeue(out var line))
            said.Add(line);
        var (outbox, sent) = (CountAsync("outbox").GetAwaiter().GetResult(), CountAsync("units WHERE \"Status\" = 'Sent'").GetAwaiter().GetResult());
        return $"{outbox} messages in the outbox, {sent} units sent\n{string.Join('\n', said)}";
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var proxy in _proxies.Values)
            proxy.Outage = Outage.None;
        await Task.WhenAll(_apps.Select(app => app.StopAsync()));
        await _stop.CancelAsync();
        await _ticking;
        foreach (var app in _apps)
            await app.DisposeAsync();
        Registry.Dispose();
        Undisturbed.Dispose();
        foreach (var proxy in _proxies.Values)
            proxy.Dispose();
        _stop.Dispose();
        _folder.Dispose();
    }

    private void AddWorkers(WebApplicationBuilder builder, WorkerScript script)
    {
        builder.Services.AddSingleton(script);
        builder.AddWorker(WorkQueues.Synthdata, (bus, queue) => bus.AddUnit<RunnerSynthdata>(queue));
        builder.AddWorker(WorkQueues.Quantizer, (bus, queue) => bus.AddUnit<RunnerQuantizer>(queue));
        builder.AddWorker(WorkQueues.Evaluator, (bus, queue) => bus.AddUnit<RunnerEvaluator>(queue));
        builder.Services.AddSingleton<IMachineCheck>(new GivenMachine(this));
    }

    private async Task<WebApplication> RunAsync(string name, string[] own, Action<WebApplicationBuilder> add, Action<WebApplication>? map = null)
    {
        string[] registrys = ["Database:", "Pipelines:", "Registry:"];
        var shared = name switch
        {
            "registry" => _settings,
            "undisturbed" => [],
            _ => _settings.Where(setting => !registrys.Any(section => setting.StartsWith(section, StringComparison.Ordinal))),
        };
        var app = ServiceHost.Build([.. shared.Concat(own).Select(setting => "--" + setting)], name, "http://127.0.0.1:0", builder =>
        {
            builder.Logging.ClearProviders().AddProvider(new Journal(name, _journal)).SetMinimumLevel(LogLevel.Information)
                .AddFilter("Microsoft", LogLevel.Warning).AddFilter("MassTransit", LogLevel.Warning);
            add(builder);
            // The clock of those that wait for an outage's end: every loop of a service turns as fast as its clock.
            if (name != "undisturbed")
                builder.Services.AddSingleton<TimeProvider>(_clock);
        }, map);
        await ServiceHost.StartAsync(app);
        _apps.Add(app);
        return app;
    }

    // Some 700 times as fast as the real one: who waits for it must have time to begin to.
    private async Task TickAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            await Task.Delay(5);
            _clock.Advance(TimeSpan.FromSeconds(2));
        }
    }

    private sealed class GivenMachine(FaultCluster cluster) : IMachineCheck
    {
        public Task<MachineFault?> FindFaultAsync(CancellationToken cancellation) => Task.FromResult(cluster.Machine);
    }
}

/// <summary>Does units as the workers do, except that the work itself is to store a result.</summary>
internal abstract class RunnerWorker(UnitRunner runner, WorkerScript script, IArtifactStore store) : ScriptedWorker(script, store)
{
    protected override Task AnswerAsync<TCommand, TEvent>(ConsumeContext<TCommand> context, Func<Digest, TEvent> answer)
    {
        Digest made = default;
        return runner.RunAsync(context, (TEvent _) => made, async _ =>
        {
            Script.Commands.Enqueue(context.Message);
            Script.Before(context.Message);
            made = await StoreAsync(context.Message.Unit);
            return answer(made);
        });
    }
}

internal sealed class RunnerSynthdata(UnitRunner runner, WorkerScript script, IArtifactStore store) : RunnerWorker(runner, script, store);

internal sealed class RunnerQuantizer(UnitRunner runner, WorkerScript script, IArtifactStore store) : RunnerWorker(runner, script, store);

internal sealed class RunnerEvaluator(UnitRunner runner, WorkerScript script, IArtifactStore store) : RunnerWorker(runner, script, store);
