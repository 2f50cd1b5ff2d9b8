using System.Diagnostics;
using System.Net.Sockets;
using Qbb.Tests;

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary>A RabbitMQ broker of the test's own, on free ports of this machine, in a temporary folder.</summary>
public sealed class RabbitServer : IAsyncLifetime
{
    private const string Program = "/usr/lib/rabbitmq/bin/rabbitmq-server";
    private const string User = "rabbitmq";
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(90);
    private readonly TemporaryFolder _folder = new();
    private readonly int _mapper = FreePort.Next();
    private readonly int _distribution = FreePort.Next();

    /// <summary>Where it listens.</summary>
    public int Port { get; } = FreePort.Next();

    public async ValueTask InitializeAsync()
    {
        if (!File.Exists(Program))
            return;
        File.SetUnixFileMode(_folder.Path, (UnixFileMode)0b111_111_111);
        _folder.Write("rabbitmq.conf", $"listeners.tcp.1 = 127.0.0.1:{Port}\nlog.console = false\nlog.file.level = warning\n");
        _folder.Write("enabled_plugins", "[].\n");
        await StartAsync();
    }

    /// <summary>Skips the test where RabbitMQ is not installed.</summary>
    public static void Require() =>
        Assert.SkipUnless(File.Exists(Program), "needs RabbitMQ: apt-get install -y --no-install-recommends rabbitmq-server");

    /// <summary>Starts it, with the queues of the run before; ready when it returns.</summary>
    public async Task StartAsync()
    {
        using var process = Process.Start(As(Program, "-detached")) ?? throw new InvalidOperationException("RabbitMQ does not start");
        await process.WaitForExitAsync();
        var watch = Stopwatch.StartNew();
        while (!await ListensAsync())
        {
            watch.Elapsed.ShouldBeLessThan(s_patience, "RabbitMQ does not listen");
            await Task.Delay(200);
        }
    }

    /// <summary>Stops as a power cut would.</summary>
    public async Task CrashAsync()
    {
        using var broker = Process.GetProcessById(int.Parse(File.ReadAllText(PidFile)));
        broker.Kill();
        await broker.WaitForExitAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (File.Exists(Program))
        {
            if (File.Exists(PidFile) && Directory.Exists($"/proc/{File.ReadAllText(PidFile).Trim()}"))
                await CrashAsync();
            using var mapper = Process.Start(As("epmd", "-kill"));
            await mapper!.WaitForExitAsync();
        }
        _folder.Dispose();
    }

    private string PidFile => _folder.File("broker.pid");

    private async Task<bool> ListensAsync()
    {
        try
        {
            using var client = new TcpClient();
            await client.ConnectAsync("127.0.0.1", Port);
            // The port opens before the broker answers: its first answer to a wrong header is its own.
            await client.GetStream().WriteAsync("AMQP\0\0\0\0"u8.ToArray());
            return await client.GetStream().ReadAsync(new byte[8]) > 0;
        }
        catch (Exception error) when (error is SocketException or IOException)
        {
            return false;
        }
    }

    private ProcessStartInfo As(string program, params string[] arguments)
    {
        var start = Environment.UserName == "root"
            ? new ProcessStartInfo("setpriv", ["--reuid", User, "--regid", User, "--clear-groups", program, .. arguments])
            : new ProcessStartInfo(program, arguments);
        start.WorkingDirectory = _folder.Path;
        foreach (var (name, value) in new Dictionary<string, string>
        {
            ["HOME"] = _folder.Path,
            ["RABBITMQ_NODENAME"] = $"test{Port}@localhost",
            ["RABBITMQ_MNESIA_BASE"] = _folder.File("data"),
            ["RABBITMQ_LOG_BASE"] = _folder.File("log"),
            ["RABBITMQ_CONFIG_FILE"] = _folder.File("rabbitmq.conf"),
            ["RABBITMQ_ENABLED_PLUGINS_FILE"] = _folder.File("enabled_plugins"),
            ["RABBITMQ_PID_FILE"] = PidFile,
            ["RABBITMQ_DIST_PORT"] = $"{_distribution}",
            ["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] = "-kernel inet_dist_use_interface {127,0,0,1}",
            ["ERL_EPMD_ADDRESS"] = "127.0.0.1",
            ["ERL_EPMD_PORT"] = $"{_mapper}",
        })
            start.Environment[name] = value;
        return start;
    }
}
