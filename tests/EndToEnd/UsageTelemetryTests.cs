using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Qbb.EndToEnd.Tests.Servers;
using Qbb.Registry.Tests.Service;
using Qbb.Tests;

namespace Qbb.EndToEnd.Tests;

/// <summary>
/// No service calls anybody. MassTransit reports how it is used five minutes after the start, or at the stop if it is told to: so it is told to
/// (<see cref="StartupHook"/>), and nobody waits. All programs run as they are shipped, behind a proxy that keeps what it is asked for, and stop quickly.
/// </summary>
public sealed class UsageTelemetryTests(RabbitServer broker, PostgresServer database) : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly RecordingProxy _proxy = new();

    public void Dispose()
    {
        _proxy.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public async Task The_one_process_calls_nobody()
    {
        await RunAsync("qbb", _ => []);
        _proxy.Requests.ShouldBeEmpty();
    }

    [Fact]
    public async Task No_service_calls_anybody_with_a_broker()
    {
        broker.Require();
        using var cluster = new Cluster(broker, database.MigratedDatabase());
        await Task.WhenAll(((string[])["qbb-registry", .. Cluster.Workers]).Select(program =>
            RunAsync(program, port => [.. cluster.SettingsOf(program).Append($"Urls=http://127.0.0.1:{port}").Select(setting => "--" + setting)])));
        _proxy.Requests.ShouldBeEmpty();
    }

    /// <summary>What the tests above would see of a service that reports.</summary>
    [Fact]
    public async Task A_service_whose_tracker_is_put_back_is_seen()
    {
        await RunAsync("qbb-registry", AloneAt, (StartupHook.PutBack, "1"));
        _proxy.Requests.ShouldHaveSingleItem().ShouldMatch("^CONNECT [a-z.-]*masstransit");
    }

    private string[] AloneAt(int port) =>
    [
        $"--Urls=http://127.0.0.1:{port}", $"--Artifacts:Folder={_folder.File("store")}", $"--Worker:Folder={_folder.File("work")}", "--Worker:Threads=1",
        $"--Database:ConnectionString=Data Source={_folder.File("registry.db")}",
    ];

    private async Task RunAsync(string program, Func<int, string[]> argumentsAt, params (string Name, string Value)[] more)
    {
        var port = FreePort.Next();
        var environment = more.ToDictionary(variable => variable.Name, variable => variable.Value);
        environment["DOTNET_STARTUP_HOOKS"] = typeof(StartupHook).Assembly.Location;
        // It goes before what a program says about its telemetry.
        environment["MASSTRANSIT_USAGE_TELEMETRY"] = "1";
        foreach (var name in (string[])["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"])
            environment[name] = environment[name.ToLowerInvariant()] = _proxy.Url;
        environment["NO_PROXY"] = environment["no_proxy"] = "";
        string[] arguments = program == "qbb" ? ["up", "--port", $"{port}", "--data", _folder.File("up"), "--threads", "1"] : argumentsAt(port);
        using var service = new ServiceProcess(program, port, arguments, environment);
        await service.ReadyAsync();
        var (code, time) = await service.StopAsync();
        code.ShouldBe(0, service.Log);
        time.ShouldBeLessThan(TimeSpan.FromSeconds(30), program);
        service.Log.ShouldContain(StartupHook.Ran);
    }

    /// <summary>A proxy on this machine that refuses everything and keeps the first line of each request.</summary>
    private sealed class RecordingProxy : IDisposable
    {
        private readonly ConcurrentQueue<string> _requests = [];
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);

        public RecordingProxy()
        {
            _listener.Start();
            _ = AcceptAsync();
        }

        public string Url => $"http://{_listener.LocalEndpoint}";

        public IReadOnlyCollection<string> Requests => _requests;

        public void Dispose() => _listener.Dispose();

        private async Task AcceptAsync()
        {
            try
            {
                while (true)
                {
                    using var client = await _listener.AcceptTcpClientAsync();
                    using var reader = new StreamReader(client.GetStream());
                    _requests.Enqueue(await reader.ReadLineAsync() ?? "a connection without a request");
                    await client.GetStream().WriteAsync("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"u8.ToArray());
                }
            }
            catch (Exception error) when (error is ObjectDisposedException or SocketException)
            {
                // The test is over.
            }
        }
    }
}
