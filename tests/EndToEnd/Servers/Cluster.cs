using System.Collections.Concurrent;
using Qbb.Tests;

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary>The four services over a broker and a database, as processes or inside the test, sharing an artifact store.</summary>
internal sealed class Cluster : IDisposable
{
    public static readonly string[] Workers = ["qbb-synthdata", "qbb-quantizer", "qbb-evaluator"];

    private readonly TemporaryFolder _folder = new();
    // A killer starts services anew while the test looks at them.
    private readonly ConcurrentDictionary<string, ServiceProcess> _services = [];
    private readonly ConcurrentDictionary<string, int> _ports = [];
    private readonly ConcurrentDictionary<string, ServiceApp> _hosted = [];
    private readonly string[] _settings;

    /// <param name="broker">RabbitMQ.</param>
    /// <param name="database">A connection string of PostgreSQL.</param>
    /// <param name="more">More settings of all services.</param>
    public Cluster(RabbitServer broker, string database, params string[] more) => _settings =
    [
        "Bus:Transport=RabbitMq",
        "Bus:Host=127.0.0.1",
        $"Bus:Port={broker.Port}",
        $"Bus:Prefix={Prefix}",
        $"Artifacts:Folder={Store}",
        "Database:Provider=Postgres",
        $"Database:ConnectionString={database}",
        $"Worker:Folder={_folder.File("work")}",
        "Worker:Threads=1",
        "Worker:UnitSeconds=1",
        "Logging:LogLevel:Default=Warning",
        "Logging:LogLevel:Qbb=Information",
        .. more,
    ];

    /// <summary>Of its queues.</summary>
    public string Prefix { get; } = "q" + Guid.NewGuid().ToString("N")[..8];

    public string Store => _folder.File("artifacts");

    /// <summary>What the services write to, where it is a disk of its own.</summary>
    public SmallDisk? Disk { get; private set; }

    public ServiceProcess Registry => _services["qbb-registry"];

    public string Url => $"http://127.0.0.1:{_ports["qbb-registry"]}";

    public ServiceProcess this[string name] => _services[name];

    /// <summary>Puts the services' folders on a disk of their own, where this process may mount one. Before they start.</summary>
    public void UseSmallDisk() => Disk = SmallDisk.TryMount(_folder.Path, megabytes: 256);

    /// <summary>Starts all services.</summary>
    public Task StartAsync() => StartAsync(["qbb-registry", .. Workers]);

    /// <summary>Starts some services; ready when it returns.</summary>
    public async Task StartAsync(params string[] services)
    {
        foreach (var service in services)
            Start(service);
        foreach (var service in services)
            await _services[service].ReadyAsync();
    }

    /// <summary>The same of services whose process is not what is tested.</summary>
    public async Task HostAsync(params string[] services)
    {
        foreach (var service in services)
            _hosted[service] = new ServiceApp(service, SettingsOf(service).Append($"Urls=http://127.0.0.1:{_ports.GetOrAdd(service, _ => FreePort.Next())}"));
        foreach (var service in services)
            await _hosted[service].ReadyAsync();
    }

    /// <summary>Ends one of them at once, and starts it anew.</summary>
    public Task HostAgainAsync(string service)
    {
        _hosted[service].Dispose();
        return HostAsync(service);
    }

    /// <summary>Starts a service, or one more of a kind under another name: "qbb-quantizer/2".</summary>
    public ServiceProcess Start(string name)
    {
        if (_services.TryGetValue(name, out var before))
            before.Dispose();
        var port = _ports.GetOrAdd(name, _ => FreePort.Next());
        return _services[name] = new ServiceProcess(name.Split('/')[0], port, SettingsOf(name));
    }

    /// <summary>The settings of a service. One that it does not know would be refused nowhere, but those that it does not need are left out.</summary>
    public IEnumerable<string> SettingsOf(string name) => name.Split('/')[0] == "qbb-registry"
        ? _settings.Where(setting => !setting.StartsWith("Worker:", StringComparison.Ordinal))
        : _settings.Where(setting => !setting.StartsWith("Database:", StringComparison.Ordinal) && !setting.StartsWith("Pipelines:", StringComparison.Ordinal));

    /// <summary>Makes the workers do everything anew.</summary>
    public void ForgetUnits()
    {
        if (Path.Combine(Store, "units") is var units && Directory.Exists(units))
            Directory.Delete(units, recursive: true);
    }

    /// <summary>The stage that the newest pipeline is in; null where the registry does not answer.</summary>
    public async Task<Stage?> StageAsync()
    {
        using var api = RegistryApi.Connect(new Uri(Url));
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        try
        {
            return (await api.ListPipelinesAsync(limit: 1, cancellation: patience.Token)).Items.Select(pipeline => (Stage?)pipeline.Stage).FirstOrDefault();
        }
        catch (Exception error) when (error is InvalidInputException or IOException or OperationCanceledException)
        {
            return null;
        }
    }

    /// <summary>What all services said.</summary>
    public string Logs() => string.Join("\n", All().Select(service => $"== {service.Name}\n{service.Service.Log}"));

    public void Dispose()
    {
        foreach (var (_, service) in All())
            service.Dispose();
        Disk?.Dispose();
        _folder.Dispose();
    }

    private IEnumerable<(string Name, IRunningService Service)> All() =>
        [.. _services.Select(one => (one.Key, (IRunningService)one.Value)), .. _hosted.Select(one => (one.Key, (IRunningService)one.Value))];
}
